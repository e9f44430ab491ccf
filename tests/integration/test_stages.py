"""Stages at work: what a process computes joins what it was computed from, and nothing a worker does harms that."""

import asyncio
import logging
import random
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from wayside_edge.acquisition import trouble
from wayside_edge.acquisition.computing import Computing, Swaps
from wayside_edge.acquisition.stage import Stage
from wayside_edge.acquisition.trouble import QUARANTINE_AFTER
from wayside_edge.compute.compiling import COMPILING_S
from wayside_edge.compute.feed import MAX_WAITING
from wayside_edge.compute.settings import OnSwap, StageKind, StageSettings
from wayside_edge.compute.state import StateStore
from wayside_edge.compute.worker import GRACE_S, PATIENCE, START_S
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.health.events import Journal
from wayside_edge.health.keeping import Keeper
from wayside_edge.health.supervisor import Supervisor
from wayside_edge.pipeline.schedule import Backoff
from wayside_edge.ports import Reading
from wayside_shared.clock import NS_PER_S
from wayside_shared.quality import Quality
from wayside_shared.runtimes import install_command
from wayside_shared.settings import Table
from wayside_testkit import stage_program
from wayside_testkit.stage_program import MISDEEDS

DEADLINE_S = 0.3


def command(_kind: StageKind) -> Sequence[str]:
    return sys.executable, str(stage_program.__file__)


def quick() -> Backoff:
    return Backoff(random.random, first_s=0.01, longest_s=0.02)


def settings(name: str = "twice", *inputs: str, **other: Any) -> StageSettings:
    values: dict[str, Any] = {"every_s": 0.05, "samples": 10, "deadline_s": DEADLINE_S, "sha256": "0" * 64, **other}
    values["settings"] = Table(values.get("settings", {}))
    return StageSettings(name=name, inputs=list(inputs or ("air.*",)), file=Path("/m"), **values)


class Rig:
    """Stages, and what they gave."""

    def __init__(self, folder: Path, *stages: StageSettings) -> None:
        self.clock = SystemClock(ClockSettings(trust_system=True))
        self.journal = Journal()
        self.store = StateStore(folder / "stages")
        self.given: list[tuple[str, Reading, int]] = []
        self.keeper = Keeper(Supervisor(), self.journal)
        self.computing = Computing(
            stages, self.clock, self.journal, self.store, self._take, quick, self.keeper, command
        )
        self.changed = asyncio.Event()

    def _take(self, name: str, readings: Sequence[Reading], ended_ns: int) -> None:
        self.given += [(name, reading, ended_ns) for reading in readings]
        self.changed.set()

    @property
    def stage(self) -> Stage:
        return self.computing.stages[0]

    def offer(self, *values: float | None, sensor: str = "air", quality: Quality = Quality.GOOD) -> int:
        now_ns = self.clock.boottime_ns()
        readings = [Reading("temperature", value, "Cel", quality=quality) for value in values]
        self.computing.offer(sensor, readings, now_ns, NS_PER_S, now_ns)
        return now_ns

    def values(self, name: str = "twice") -> list[object]:
        return [reading.value for stage, reading, _ in self.given if stage == name]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.changed.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self.changed.wait()
                except TimeoutError:
                    continue

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.computing.run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await self.computing.finish(5.0)


async def test_what_it_computes_has_the_times_of_what_it_was_given(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings())
    async with rig.running():
        at_ns = rig.offer(1.0, 2.5)
        await rig.until(lambda: len(rig.given) == 2)
    assert rig.values() == [2.0, 5.0]
    name, reading, ended_ns = rig.given[0]
    assert (name, reading.name, reading.unit) == ("twice", "temperature", "Cel")
    assert abs(ended_ns - reading.age_ns - at_ns) <= 500_000  # stamps have whole milliseconds
    assert rig.stage.counters.readings == 2


async def test_recordings_keep_their_own_time(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings())
    async with rig.running():
        rig.computing.offer("air", [Reading("temperature", 4.0, "Cel", time_ns=1_700_000_000 * NS_PER_S)], 1, 1, 1)
        await rig.until(lambda: rig.given)
    assert rig.given[0][1].time_ns == 1_700_000_000 * NS_PER_S


async def test_what_has_no_value_comes_with_its_quality(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings())
    async with rig.running():
        rig.offer(None, quality=Quality.ABSENT)
        await rig.until(lambda: rig.given)
    assert (rig.given[0][1].value, rig.given[0][1].quality) == (None, Quality.ABSENT)


async def test_a_stage_sees_those_before_it_and_not_itself(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings("first", "air.*"), settings("second", "first.*", "second.*"))
    async with rig.running():
        rig.offer(3.0)
        await rig.until(lambda: rig.values("second"))
    assert rig.values("first") == [6.0]
    assert rig.values("second") == [12.0]


@pytest.mark.parametrize("misdeed", sorted(set(MISDEEDS) - {"refuse"}))
async def test_a_worker_that_misbehaves_is_dead_within_twice_its_budget(tmp_path: Path, misdeed: str) -> None:
    rig = Rig(tmp_path, settings(settings={"bad_value": 13.0, "on_value": misdeed}))
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.given)
        began_s = time.monotonic()
        pid = rig.stage.pid
        rig.offer(13.0)
        await rig.until(lambda: rig.stage.counters.failures)
        assert time.monotonic() - began_s < 2 * DEADLINE_S + 1.0  # what a busy machine may add
        assert pid is not None
        assert not psutil.pid_exists(pid)
        await rig.until(lambda: rig.stage.feed.given_up)
        # The value that nothing came of is told, and the next one comes as ever.
        assert (rig.given[-1][1].value, rig.given[-1][1].quality) == (None, Quality.NOT_READY)
        await rig.until(lambda: not rig.stage.feed.waiting)
        rig.offer(2.0)
        await rig.until(lambda: rig.values()[-1] == 4.0)
    assert rig.stage.feed.given_up == 1
    assert rig.journal.counts["StageFailing"] >= 1
    assert rig.journal.counts["StageRecovered"] == 1


@pytest.mark.parametrize(
    ("misdeed", "said"),
    [("crash", r"it ended with status 1: RuntimeError: the reason \x1b[31m"), ("escape", r"op \x1b[2J forged\x07")],
)
async def test_why_a_worker_ended_is_told_in_a_line_that_can_be_printed(
    tmp_path: Path, misdeed: str, said: str
) -> None:
    rig = Rig(tmp_path, settings(settings={"on_load": misdeed}))
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.stage.counters.failures)
        assert str(rig.stage.state.trouble).endswith(said)


def test_the_budget_is_kept() -> None:
    assert 1.0 * PATIENCE + GRACE_S < 2.0
    # A compiler ends by itself, which is remembered, before the worker is given up.
    assert COMPILING_S < START_S - 5


async def test_a_worker_that_died_by_chance_costs_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings(settings={"bad_value": 2.0, "on_value": f"once {tmp_path}/mark"}))
    async with rig.running():
        for value in (1.0, 2.0, 3.0):
            rig.offer(value)
            await rig.until(lambda value=value: rig.values()[-1:] == [2 * value])
    assert rig.values() == [2.0, 4.0, 6.0]
    assert rig.stage.feed.given_up == 0
    assert struct.unpack("<d", rig.store.load(rig.stage.settings)) == (6.0,)


async def test_one_that_fails_again_and_again_is_left_alone_while_the_others_go_on(tmp_path: Path) -> None:
    bad = settings("bad", settings={"on_load": "die"})
    rig = Rig(tmp_path, bad, settings("good"))
    async with rig.running():
        while not rig.stage.quarantined:
            failures = rig.stage.counters.failures.total()
            rig.offer(1.0)
            await rig.until(lambda failures=failures: rig.stage.counters.failures.total() > failures)
        failures = rig.stage.counters.failures.total()
        for count in range(1, 6):
            rig.offer(float(count))
            await rig.until(lambda count=count: rig.values("good")[-1:] == [2.0 * count])
        assert rig.stage.counters.failures.total() == failures >= QUARANTINE_AFTER
    assert rig.journal.counts["StageQuarantined"] == 1
    assert "status 3" in rig.stage.quarantined


async def test_a_missing_runtime_is_named_with_what_to_type(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings())
    lacking = [sys.executable, "-c", "raise ModuleNotFoundError(\"No module named 'wasmtime'\")"]
    rig.computing = Computing(
        [settings()], rig.clock, rig.journal, rig.store, rig._take, quick, rig.keeper, lambda _: lacking
    )
    async with rig.running():
        while not rig.stage.quarantined:
            failures = rig.stage.counters.failures.total()
            rig.offer(1.0)
            await rig.until(lambda failures=failures: rig.stage.counters.failures.total() > failures)
    assert f"wasmtime is not installed; type: {install_command()}" in rig.stage.quarantined


async def test_a_mistake_of_ours_is_begun_anew_alone_and_loses_no_state(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings(), settings("good"))
    mistakes = ["once"]

    def mistaken(name: str, readings: Sequence[Reading], ended_ns: int) -> None:
        if name == "twice" and mistakes:
            raise RuntimeError(mistakes.pop())
        rig._take(name, readings, ended_ns)

    rig.computing = Computing(
        [stage.settings for stage in rig.computing.stages],
        *(rig.clock, rig.journal, rig.store, mistaken, quick, rig.keeper, command),
    )
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.values("good"))
        rig.offer(2.0)
        await rig.until(lambda: rig.values("twice"))
    assert rig.journal.counts["PartRestarted"] == 1
    assert rig.values("twice") == [4.0]
    assert struct.unpack("<d", rig.store.load(rig.stage.settings)) == (3.0,)


async def test_a_hot_swap_loses_no_reading_and_keeps_the_state_or_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = settings(samples=3)
    rig = Rig(tmp_path, before)
    async with rig.running():
        swapping: asyncio.Task[Swaps] | None = None
        for count in range(60):
            rig.offer(float(count))
            if count == 30:
                await rig.until(lambda: rig.given)  # else the swap would end the first worker before it had begun
                after = settings(samples=3, sha256="1" * 64, settings={"suffix": "_new"})
                swapping = asyncio.create_task(rig.computing.swap([after]))
            await asyncio.sleep(0.002)  # readings come while it is swapped
        assert swapping is not None
        assert await swapping == Swaps(1, [])
        await rig.until(lambda: len(rig.values()) == 60)
    assert rig.values() == [2.0 * count for count in range(60)]
    told = next(line for line in caplog.messages if "goes on" in line)
    assert told == "stage twice goes on with /m (SHA-256 111111111111…) and its new settings; its state is kept"
    names = [reading.name for _, reading, _ in rig.given]
    assert names == sorted(names)
    assert {"temperature", "temperature_new"} == set(names)
    assert struct.unpack("<d", rig.store.load(rig.stage.settings)) == (sum(range(60)),)
    again = Rig(tmp_path, settings(sha256="2" * 64, on_swap=OnSwap.RESET))
    async with again.running():
        again.offer(5.0)
        await again.until(lambda: again.given)
    assert struct.unpack("<d", again.store.load(again.stage.settings)) == (5.0,)


async def test_a_new_file_that_does_not_work_changes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings())
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.given)
        pid = rig.stage.pid
        assert await rig.computing.swap([settings(sha256="1" * 64, settings={"on_load": "refuse"})]) == Swaps(
            0, ["twice"]
        )
        rig.offer(2.0)
        await rig.until(lambda: len(rig.given) == 2)
        assert rig.stage.pid == pid
        with pytest.raises(ValueError, match="added"):
            await rig.computing.swap([])
    assert rig.journal.counts["StageSwapRefused"] == 1


async def test_a_swap_does_not_wait_for_a_worker_that_does_not_begin(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings(settings={"on_load": "hang"}))
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.stage._beginning.under_way)
        began_s = time.monotonic()
        assert await rig.computing.swap([settings(sha256="1" * 64)]) == Swaps(1, [])
        assert time.monotonic() - began_s < START_S / 3
        await rig.until(lambda: rig.values() == [2.0])
    assert rig.stage.counters.failures.total() == rig.stage.feed.given_up == 0


async def test_a_stop_has_everything_worked_on(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings(every_s=600.0))
    async with rig.running():
        for count in range(25):
            rig.offer(float(count))
    assert rig.values() == [2.0 * count for count in range(25)]
    assert rig.stage.pid is None


async def test_one_that_is_too_slow_holds_a_bounded_backlog_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, settings(samples=1000, deadline_s=60.0, settings={"bad_value": 0.0, "on_value": "hang"}))
    with caplog.at_level(logging.WARNING):
        for _ in range(MAX_WAITING // 1000 + 5):
            rig.offer(*[0.0] * 1000)
    assert rig.stage.feed.waiting <= MAX_WAITING
    assert rig.stage.feed.given_up == 5000
    assert rig.journal.counts["StageBehind"] == 1


async def test_a_state_that_is_refused_is_given_up_and_not_tried_for_ever(tmp_path: Path) -> None:
    stage = settings(settings={"refuses_state": True})
    StateStore(tmp_path / "stages").save(stage, b"of another")
    rig = Rig(tmp_path, stage)
    async with rig.running():
        rig.offer(1.0)
        await rig.until(lambda: rig.given)
    assert rig.values() == [2.0]
    assert rig.journal.counts["StageStateRefused"] == 1
    assert rig.stage.counters.failures.total() == 0


async def test_a_flood_is_stopped_and_the_reason_names_the_setting(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings("flood", settings={"times": 400}), settings("good"))
    async with rig.running():
        while not rig.stage.quarantined:
            rig.offer(*[1.0] * 10)
            await rig.until(lambda: rig.stage.quarantined or not rig.stage.feed.waiting)
        await rig.until(lambda: rig.values("good"))
    assert "outputs_per_s" in rig.stage.quarantined
    assert set(rig.stage.counters.failures) == {"output"}
    assert len([value for value in rig.values("flood") if value is not None]) < 4096 + 10_000
    assert not any(stage.feed.given_up for stage in rig.computing.stages[1:])


async def test_a_state_that_it_always_fails_with_is_given_up_after_a_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "QUARANTINE_S", 0.05)
    stage = settings(settings={"dies_from": 6.0})
    StateStore(tmp_path / "stages").save(stage, struct.pack("<d", 6.0))
    rig = Rig(tmp_path, stage)
    async with rig.running():
        while not rig.values() or rig.values()[-1] is None:
            rig.offer(1.0)
            await rig.until(lambda: not rig.stage.feed.waiting)
    assert rig.values()[-1] == 2.0
    assert rig.journal.counts["StageQuarantined"] == rig.journal.counts["StageStateRefused"] == 1
    assert struct.unpack("<d", rig.store.load(stage))[0] < 6.0


async def test_a_state_is_kept_when_it_is_not_what_it_fails_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "QUARANTINE_S", 0.05)
    stage = settings(settings={"bad_value": 1.0, "on_value": "die"})
    StateStore(tmp_path / "stages").save(stage, struct.pack("<d", 6.0))
    rig = Rig(tmp_path, stage)
    async with rig.running():
        while rig.journal.counts["StageQuarantined"] < 2:
            rig.offer(1.0)
            await rig.until(lambda: not rig.stage.feed.waiting)
        rig.offer(2.0)
        await rig.until(lambda: 4.0 in rig.values())
    assert rig.journal.counts["StageStateRefused"] == 0
    assert struct.unpack("<d", rig.store.load(stage)) == (8.0,)


async def test_being_behind_is_said_once_until_it_has_caught_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, settings(samples=1000, deadline_s=30.0))

    def flood() -> None:
        for _ in range(MAX_WAITING // 1000 + 2):
            rig.offer(*[1.0] * 1000)

    flood()
    async with rig.running():
        await rig.until(lambda: rig.stage.counters.blocks > 3)
        flood()
        assert rig.journal.counts["StageBehind"] == 1
        await rig.until(lambda: not rig.stage.feed.waiting and rig.stage.counters.blocks > 40)
        await rig.until(lambda: not rig.stage._behind)
        flood()
    assert rig.journal.counts["StageBehind"] == 2


@pytest.mark.parametrize("damage", [b"", b"x" * 10, b"x" * 100])
def test_a_damaged_state_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    store = StateStore(tmp_path / "stages")
    store.save(settings(), b"kept")
    assert store.load(settings()) == b"kept"
    assert store.load(settings(sha256="1" * 64)) == b"kept"
    assert store.load(settings(sha256="1" * 64, on_swap=OnSwap.RESET)) == b""
    (file,) = (tmp_path / "stages").glob("*.state")
    file.write_bytes(damage)
    assert store.load(settings()) == b""


def test_a_state_that_cannot_be_kept_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("a file where the folder should be")
    StateStore(tmp_path / "stages").save(settings(), b"kept")
