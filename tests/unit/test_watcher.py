"""The watcher over a real event loop: whom it feeds, and when it ends the process."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge.health import watcher as watcher_module
from wayside_edge.health.causes import RunRecord
from wayside_edge.health.events import Journal
from wayside_edge.health.settings import WatchdogSettings
from wayside_edge.health.supervisor import Supervisor
from wayside_edge.health.systemd import ServiceManager
from wayside_edge.health.watcher import EXIT_HUNG, Watcher

STALL_S = 0.1


class Rig:
    """A watcher whose hardware is a file, and which ends nothing but says so."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "watchdog"
        self.file.touch()
        self.left: list[int] = []
        self.journal = Journal()
        self.record = RunRecord(folder / "outbox.run")
        self.supervisor = Supervisor()
        settings = WatchdogSettings(device=str(self.file), stall_s=STALL_S)
        self.watcher = Watcher(
            *(settings, self.supervisor, self.record, self.journal, lambda: "well"),
            manager=ServiceManager({}),
            leave=self.left.append,
        )

    @property
    def food(self) -> int:
        return self.file.stat().st_size

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - threads and files wake nobody
                await asyncio.sleep(0.005)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(watcher_module, "GRACE_S", 0.1)
    return Rig(tmp_path)


async def test_the_hardware_is_fed_and_disarmed_at_the_end(rig: Rig) -> None:
    rig.watcher.start()
    await rig.until(lambda: rig.food > 5)
    rig.watcher.stop(disarm=True)
    assert rig.file.read_bytes().strip(b"\0") == b"V"
    assert rig.left == []


async def test_a_loop_that_was_only_slow_is_fed_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "GRACE_S", 60.0)
    rig.record.begin("0" * 32, [])
    rig.watcher.start()
    await rig.until(lambda: rig.food > 5)
    until_s = time.monotonic() + 10.0
    while not rig.journal.counts["AgentHung"] and time.monotonic() < until_s:
        time.sleep(0.01)  # noqa: ASYNC251 - a loop that stands still
    food = rig.food
    await rig.until(lambda: rig.journal.counts["AgentBack"] == 1 and rig.food > food)
    rig.watcher.stop(disarm=True)
    assert rig.record.hangs == 0
    assert b"the event loop has shown no life" in rig.record.stacks_path.read_bytes()
    rig.record.close()


async def test_an_agent_that_gives_up_starves_the_hardware_and_ends(rig: Rig) -> None:
    rig.watcher.start()
    await rig.until(lambda: rig.food > 5)
    rig.supervisor.give_up("too much hangs")
    await rig.until(lambda: EXIT_HUNG in rig.left)
    food = rig.food
    rig.watcher.stop(disarm=False)
    assert rig.food == food


async def test_one_that_hangs_again_and_again_waits_for_the_reset_of_the_board(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        before = RunRecord(rig.record.stacks_path.with_suffix(".run"))
        before.begin("0" * 32, [])
        before.hung("loop")
        before.close()
    rig.record.begin("0" * 32, [])
    rig.watcher.start()
    await rig.until(lambda: rig.food > 5)
    began_s = time.monotonic()
    rig.supervisor.give_up("too much hangs")
    await rig.until(lambda: bool(rig.left))
    assert time.monotonic() - began_s > 1.5, "twice the least timeout, in case the hardware does nothing"
    rig.watcher.stop(disarm=False)
    rig.record.close()


async def test_a_watchdog_that_somebody_has_is_said_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.file.unlink()
    rig.watcher.start()
    rig.watcher.stop(disarm=True)
    assert rig.journal.counts == {"WatchdogAway": 1}
