"""Refusals that repeat are counted; those that differ are each told, and bounded."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from wayside_server.app import audit as audit_role
from wayside_server.domain.audit import Act, Outcome
from wayside_server.errors import StorageError
from wayside_server.identity import audit
from wayside_server.identity.audit import DAMPED_FOR, MAX_A_MINUTE, MAX_DAMPED, DampedTrail
from wayside_testkit.people import MemoryTrail, MovableClock

GUESS = Act("stranger:192.0.2.7", "device.enrol", "token:unknown", None, "192.0.2.7", Outcome.REFUSED, {"kind": "a"})
LATER = DAMPED_FOR + timedelta(seconds=1)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def trail() -> MemoryTrail:
    return MemoryTrail()


@pytest.fixture
def damped(trail: MemoryTrail, clock: MovableClock) -> DampedTrail:
    return DampedTrail(trail, clock)


@pytest.mark.parametrize(
    "other",
    [
        replace(GUESS, tenant_id=2),
        replace(GUESS, subject="token:7"),
        replace(GUESS, actor="person:ada"),
        replace(GUESS, address="192.0.2.8"),
        replace(GUESS, action="key.use"),
        replace(GUESS, detail={"kind": "b"}),
    ],
)
async def test_what_differs_is_no_repeat(
    damped: DampedTrail, trail: MemoryTrail, clock: MovableClock, other: Act
) -> None:
    for act in (GUESS, other, GUESS, GUESS, other):
        await damped.record(act)
    assert trail.acts == [GUESS, other]
    clock.time += LATER
    await damped.flush()
    told = [(replace(act, detail={"kind": act.detail["kind"]}), act.detail["repeats"]) for act in trail.acts[2:]]
    assert told == [(GUESS, 2), (other, 1)]


async def test_what_is_done_is_never_held_and_a_failure_is(damped: DampedTrail, trail: MemoryTrail) -> None:
    for outcome in (Outcome.DONE, Outcome.DONE, Outcome.FAILED, Outcome.FAILED):
        await damped.record(replace(GUESS, outcome=outcome))
    assert [act.outcome for act in trail.acts] == [Outcome.DONE, Outcome.DONE, Outcome.FAILED]


async def test_a_storm_of_different_ones_is_bounded_and_names_nobody(
    damped: DampedTrail, trail: MemoryTrail, clock: MovableClock
) -> None:
    storm = 5 * MAX_DAMPED
    for number in range(storm):
        await damped.record(replace(GUESS, address=f"2001:db8::{number:x}"))
    assert len(trail.acts) == MAX_A_MINUTE
    await damped.flush(everything=True)
    assert len(trail.acts) == MAX_A_MINUTE + 1
    last = trail.acts[-1]
    assert (last.actor, last.subject, last.address) == ("many", "many", None)
    assert last.detail == {"kind": "a", "repeats": storm - MAX_A_MINUTE}
    clock.time += LATER
    await damped.record(GUESS)
    assert trail.acts[-1] == GUESS


async def test_what_cannot_be_entered_is_held_still(
    damped: DampedTrail, trail: MemoryTrail, clock: MovableClock
) -> None:
    trail.refuses = GUESS.action
    with pytest.raises(StorageError):
        await damped.record(GUESS)
    trail.refuses = ""
    for _ in range(3):
        await damped.record(GUESS)
    clock.time += LATER
    trail.refuses = GUESS.action
    for _ in range(2):
        with pytest.raises(StorageError):
            await damped.flush()
    trail.refuses = ""
    await damped.flush()
    assert trail.acts == [GUESS, replace(GUESS, detail={"kind": "a", "repeats": 2})]


async def test_repeats_are_entered_without_another_act(trail: MemoryTrail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FLUSH_EVERY_S", 0.001)
    monkeypatch.setattr(audit, "DAMPED_FOR", timedelta(0))
    async with audit_role.damped(trail) as damped:
        await damped.record(GUESS)
        await damped.record(GUESS)
        async with asyncio.timeout(10):
            # Nothing tells of an entry but that it is there.
            while len(trail.acts) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    assert trail.acts[1].detail["repeats"] == 1


async def test_repeats_are_entered_at_the_end(trail: MemoryTrail) -> None:
    async with audit_role.damped(trail) as damped:
        for _ in range(3):
            await damped.record(GUESS)
        assert trail.acts == [GUESS]
    assert trail.acts[1].detail["repeats"] == 2
