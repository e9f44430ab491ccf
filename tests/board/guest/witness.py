"""The shipped agent, whose outbox tells the console what it has accepted: the last word of a board before a cut.

`python -m board.guest.witness CONFIG`. What stands on the console has left the machine, as no file on it has.
"""

import os
import sys
from pathlib import Path

from wayside_edge import app, config
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, ClosedBatch, Status

CONSOLE = "/dev/console"


class WitnessedOutbox(DurableOutbox):
    """Says `ACCEPTED epoch seq samples` as soon as an append has returned."""

    _epoch = ""

    async def open(self) -> Status:
        status = await super().open()
        self._epoch = status.epoch.epoch.hex()
        return status

    async def append(self, batch: ClosedBatch) -> Appended:
        appended = await super().append(batch)
        _say(f"ACCEPTED {self._epoch} {appended.added[-1]} {batch.n}")
        return appended

    async def fork(self) -> None:
        await super().fork()
        self._epoch = (await self.status()).epoch.epoch.hex()


def _say(line: str) -> None:
    handle = os.open(CONSOLE, os.O_WRONLY | os.O_NOCTTY)
    try:
        os.write(handle, line.encode() + b"\n")
    finally:
        os.close(handle)


if __name__ == "__main__":
    vars(app)["DurableOutbox"] = WitnessedOutbox
    file = Path(sys.argv[1])
    sys.exit(app.run(config.load(file), file))
