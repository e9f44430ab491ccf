"""A driver of another package that does the worst it can: hangs, stops the event loop, keeps the interpreter to itself.

`python -m wayside_testkit.hostile run --config FILE` is the agent with deadlines that a test can wait for.
"""

import asyncio
import ctypes
import gc
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from wayside_edge.ports import BusProvider, DriverKind, Reading
from wayside_shared.settings import setting

LONG_S = 1000
"""Longer than any test."""


class Deed(Enum):
    """What the driver does at its next read."""

    PIPE = "pipe"
    """Reads from a pipe that nobody writes to: a system call that does not return."""
    LOOP = "loop"
    """Has the event loop call something that sleeps."""
    INTERPRETER = "interpreter"
    """Sleeps in C without letting other threads of Python run."""
    EXIT = "exit"
    """Raises what is no `Exception`."""


@dataclass(frozen=True, slots=True)
class HostileSettings:
    """Settings of the driver."""

    trigger: Path = setting("File whose content is a deed; it is taken away when that begins.", sample="deed")
    pipe: Path = setting("A FIFO.", Path("/nowhere"))


class Hostile:
    """A driver that reads well until it is told otherwise."""

    def __init__(self, settings: HostileSettings) -> None:
        self._settings = settings
        self._reads = 0

    def start(self) -> None:
        pass

    def read(self) -> Sequence[Reading]:
        self._reads += 1
        trigger = self._settings.trigger
        if trigger.exists():
            deed = Deed(trigger.read_text())
            trigger.unlink()
            self._do(deed)
        return [Reading("reads", float(self._reads), "1")]

    def close(self) -> None:
        pass

    def _do(self, deed: Deed) -> None:
        match deed:
            case Deed.PIPE:
                self._settings.pipe.read_bytes()
            case Deed.LOOP:
                loop = next(each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop))
                loop.call_soon_threadsafe(sleep_in_the_loop)
            case Deed.INTERPRETER:
                ctypes.PyDLL(None).sleep(LONG_S)
            case Deed.EXIT:
                raise SystemExit("taking all down")


def sleep_in_the_loop() -> None:
    """What no callback may do."""
    time.sleep(LONG_S)


def _build(settings: HostileSettings, _bus: str, _buses: BusProvider) -> Hostile:
    return Hostile(settings)


KIND = DriverKind("a driver of tests that hangs when told", HostileSettings, _build)


def installed(folder: Path) -> Mapping[str, str]:
    """The environment in which this is a package with a driver of kind `hostile`, installed below `folder`."""
    site = folder / "site"
    info = site / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wayside.drivers]\nhostile = wayside_testkit.hostile:KIND\n")
    tests = Path(__file__).resolve().parents[1]
    return {"PYTHONPATH": f"{site}:{tests}"}


def _shorten() -> None:
    from wayside_edge import acquisition
    from wayside_edge.acquisition import lanes
    from wayside_edge.health import keeping, recovery, watcher

    for module, name, value in (
        (acquisition, "LOOK_S", 0.1),
        (lanes, "STALL_S", 0.5),
        (recovery, "ASIDE_S", 1.0),
        (recovery, "RESTART_S", 0.1),
        (keeping, "CANCEL_S", 0.5),
        (watcher, "GRACE_S", 0.3),
    ):
        assert hasattr(module, name)
        setattr(module, name, value)


def _break_uplink(deed: str) -> None:
    """Have the uplink fail once, a second after it began: with a mistake, or by waiting for ever."""
    from wayside_edge import app
    from wayside_edge.uplink.session import Uplink

    turn = Uplink._turn
    began = time.monotonic()
    done: list[bool] = []

    async def broken(self: Uplink, connection: object) -> None:
        if not done and time.monotonic() > began + 1.0:
            done.append(True)
            if deed == "crash":
                raise ZeroDivisionError("a mistake of the uplink")
            await asyncio.Event().wait()
        await turn(self, connection)  # type: ignore[arg-type]

    Uplink._turn = broken  # type: ignore[method-assign]
    app.UPLINK_S = 1.5


if __name__ == "__main__":
    from wayside_edge.__main__ import main

    _shorten()
    if "BREAK_UPLINK" in os.environ:
        _break_uplink(os.environ["BREAK_UPLINK"])
    sys.exit(main())
