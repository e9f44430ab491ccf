"""A task that is kept: restarted alone, set aside when it fails over and over, given up when it does not end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from wayside_edge.errors import ConfigError
from wayside_edge.health import keeping, recovery
from wayside_edge.health.events import Journal
from wayside_edge.health.keeping import Keeper
from wayside_edge.health.supervisor import Pulse, Supervisor


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "RESTART_S", 0.001)
    monkeypatch.setattr(recovery, "ASIDE_S", 0.001)
    monkeypatch.setattr(keeping, "CANCEL_S", 0.02)


class Rig:
    def __init__(self) -> None:
        self.supervisor = Supervisor()
        self.journal = Journal()
        self.keeper = Keeper(self.supervisor, self.journal)
        self.runs = 0

    async def keep(self, work: Callable[[Pulse, int], Awaitable[None]]) -> None:
        def begin(pulse: Pulse) -> Awaitable[None]:
            self.runs += 1
            return work(pulse, self.runs)

        async with asyncio.timeout(10):
            await self.keeper.keep("part", begin, 1.0)


async def test_what_crashes_is_begun_anew_and_set_aside_the_fifth_time() -> None:
    async def work(_pulse: Pulse, run: int) -> None:
        if run <= 5:
            raise ZeroDivisionError

    rig = Rig()
    await rig.keep(work)
    assert rig.runs == 6
    assert rig.journal.counts == {"PartFailed": 4, "PartQuarantined": 1, "PartRestarted": 5}


async def test_the_innermost_mistake_of_a_group_is_named(caplog: pytest.LogCaptureFixture) -> None:
    async def work(_pulse: Pulse, run: int) -> None:
        if run == 1:
            raise ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("odd")])])

    await Rig().keep(work)
    assert "part failed: ValueError: odd; it is begun anew in 0.001 s" in caplog.text


async def test_what_shows_no_life_is_cancelled_and_begun_anew() -> None:
    cancelled = asyncio.Event()

    async def work(pulse: Pulse, run: int) -> None:
        if run == 1:
            pulse.alarm()  # as the watcher does when its deadline has passed
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    rig = Rig()
    await rig.keep(work)
    assert cancelled.is_set()
    assert rig.runs == 2


async def test_tasks_that_do_not_end_are_given_up_and_too_many_end_the_agent() -> None:
    let_go = asyncio.Event()
    held: list[asyncio.Task[None]] = []

    async def work(pulse: Pulse, run: int) -> None:
        if run > 4:
            return
        pulse.alarm()
        task = asyncio.current_task()
        assert task is not None
        held.append(task)
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    rig = Rig()
    await rig.keep(work)
    assert rig.runs == 5
    look = rig.supervisor.look(0.0)
    assert (look.alive, look.cause) == (False, "4 tasks that were given up do not end, the last is part")
    let_go.set()
    await asyncio.gather(*held)


async def test_what_a_person_must_mend_ends_the_agent() -> None:
    async def plain(_pulse: Pulse, _run: int) -> None:
        raise ConfigError("wrong")

    async def grouped(_pulse: Pulse, _run: int) -> None:
        raise ExceptionGroup("group", [ConfigError("wrong")])

    with pytest.raises(ConfigError):
        await Rig().keep(plain)
    with pytest.raises(ExceptionGroup):
        await Rig().keep(grouped)


async def test_a_cancelled_keeper_leaves_nothing_behind() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(_pulse: Pulse, _run: int) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    task = asyncio.create_task(Rig().keep(work))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
