"""The shipped agent, run on a board."""

import re
import sys
from pathlib import Path

from board.machine import CALL_S, Board, Chips
from board.office import Accepted

PYTHON = sys.executable
PROGRAM = str(Path(PYTHON).with_name("wayside-edge"))
TESTS = str(Path(__file__).resolve().parents[1])
CONFIG, LOG = "/run/agent.toml", "/run/agent.log"
STOP_S = 90.0
"""More than the agent's own `drain_s`."""
_ACCEPTED = re.compile(r"ACCEPTED (\S+) (\d+) (\d+)$")

BME280 = Chips(i2c=[{"model": "bme280"}])
"""A board with one BME280."""

SENSING = """
[batch]
max_age_s = 0.05
[clock]
trust_system = true
[watchdog]
device = "off"
[[bus]]
name = "main"
kind = "i2c"
number = 0
[[sensor]]
name = "air"
kind = "bme280"
bus = "main"
interval_s = 0.05
"""
"""An agent's tables for that board; nothing synchronises the clock of a virtual board, and its watchdog is left alone,
which a machine that is slow for a quarter of a minute would trip."""


def outbox(folder: str) -> str:
    """The `[outbox]` of an agent that keeps its samples below `folder`, on a small disk."""
    return f'[outbox]\npath = "{folder}/outbox.db"\nquota_mb = 16\nfree_disk_floor_mb = 0\nballast_mb = 0\n'


class Agent:
    """One run of the agent.

    Args:
        board: switched on.
        pid: its process there.
    """

    def __init__(self, board: Board, pid: int) -> None:
        self._board = board
        self.pid = pid

    async def stop(self) -> None:
        """SIGTERM, as a service manager would; it delivers what is left."""
        status = await self._board.call("system:stop", STOP_S + CALL_S, pid=self.pid, within_s=STOP_S)
        assert status == 0, await self.log()

    async def log(self) -> str:
        """What it has logged since the board booted."""
        texts: dict[str, str] = await self._board.call("system:read", pattern=LOG)
        return texts.get(LOG, "")


async def start_agent(board: Board, config: str, *, witnessed: bool = False, site: Path | None = None) -> Agent:
    """Start the agent on `board`.

    Args:
        board: switched on.
        config: its file.
        witnessed: it tells the console what it has accepted (`guest/witness.py`).
        site: where packages are that it finds beside its own, when witnessed.
    """
    await board.call("system:write", path=CONFIG, text=config)
    if not witnessed:
        return Agent(board, await board.start([PROGRAM, "run", "--config", CONFIG], LOG))
    command = [PYTHON, "-m", "board.guest.witness", CONFIG]
    return Agent(board, await board.start(command, LOG, {"PYTHONPATH": TESTS if site is None else f"{site}:{TESTS}"}))


def accepted(board: Board) -> set[Accepted]:
    """Every batch that witnessed agents have accepted on `board`, over all its boots."""
    found = (_ACCEPTED.search(line) for line in board.console.lines)
    return {Accepted(match[1], int(match[2]), int(match[3])) for match in found if match}
