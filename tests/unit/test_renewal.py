"""When a certificate is renewed, proved and let go (rows 8 and 11)."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_shared import renewal as core
from wayside_shared.renewal import (
    Disproved,
    Failed,
    FellBack,
    Issued,
    Life,
    Proved,
    Refreshed,
    Renewal,
    Stood,
    Tick,
    Unkept,
    Waiting,
    renew_at_s,
)

DAY_S = 86_400
BEGAN_S = 1_790_000_000
LIFE = Life(7, BEGAN_S, BEGAN_S + 90 * DAY_S)
NEXT = Life(8, BEGAN_S + 60 * DAY_S, BEGAN_S + 150 * DAY_S)
LATE_S = BEGAN_S + 70 * DAY_S
"""After every moment at which LIFE may be renewed."""


def renewing(now_s: float = LATE_S) -> Renewal:
    state = Renewal("boiler-7", LIFE, Random(1))
    assert state.step(Tick(True), now_s) == [core.Renew(expired=now_s >= LIFE.ends_s)]
    return state


def staged() -> Renewal:
    state = renewing()
    assert state.step(Issued(NEXT), LATE_S) == [core.Prove()]
    return state


def test_a_fleet_renews_from_two_thirds_of_its_life_on_spread_over_a_tenth_row_11() -> None:
    moments = [renew_at_s(f"board-{n}", LIFE) for n in range(1000)]
    first, last = BEGAN_S + 60 * DAY_S, BEGAN_S + 69 * DAY_S
    assert first <= min(moments) < first + DAY_S / 10
    assert last - DAY_S / 10 < max(moments) <= last
    per_day = [sum(first + day * DAY_S <= moment < first + (day + 1) * DAY_S for moment in moments) for day in range(9)]
    assert all(80 < count < 145 for count in per_day)


def test_nothing_is_asked_before_its_time_but_the_ca_certificates() -> None:
    state = Renewal("boiler-7", LIFE, Random(1))
    effects = [effect for hour in range(24 * 50) for effect in state.step(Tick(True), BEGAN_S + hour * 3600)]
    assert effects == [core.Refresh()]  # and no second one while it is asked


def test_a_wrong_clock_asks_for_nothing() -> None:
    state = Renewal("boiler-7", LIFE, Random(1))
    assert state.step(Tick(False), LATE_S) == state.step(Tick(False), 0.0) == []


def test_a_new_certificate_is_proved_promoted_and_the_old_one_goes_when_a_session_stood() -> None:
    state = staged()
    assert state.step(Tick(True), LATE_S) == []
    assert state.step(Proved(), LATE_S) == [core.Promote()]
    assert state.life == NEXT
    assert state.step(Stood(), LATE_S) == [core.DropOld()]
    assert state.step(Stood(), LATE_S) == []
    assert state.next_renewal_s() == renew_at_s("boiler-7", NEXT)


def test_a_refused_new_certificate_is_tried_thrice_and_thrown_away() -> None:
    state, now_s, effects = staged(), float(LATE_S), []
    for _ in range(3):
        effects += state.step(Disproved("not authorised"), now_s)
        now_s = max(state.prove_due_s, now_s)
        effects += state.step(Tick(True), now_s) if state.staged else []
    trouble = core.Trouble("the broker refuses the new certificate: not authorised")
    assert effects == [trouble, core.Prove(), core.Prove(), core.Discard()]
    assert state.life == LIFE
    assert state.step(Tick(True), state.due_s) == [core.Renew(expired=False)]


def test_a_certificate_refused_after_its_promotion_is_taken_back() -> None:
    state = staged()
    state.step(Proved(), LATE_S)
    effects = state.step(FellBack(LIFE, "revoked"), LATE_S)
    assert effects == [core.RollBack(), core.Trouble("the broker refused the new certificate: revoked")]
    assert (state.life, state.keeps_old) == (LIFE, False)


def test_a_run_that_ended_before_the_proof_goes_on_with_it() -> None:
    state = Renewal("boiler-7", LIFE, Random(1), staged=NEXT)
    assert state.step(Tick(False), 0.0) == [core.Prove()]


def test_failures_are_told_once_and_their_end_once() -> None:
    state = renewing()
    told = state.step(Failed("away"), LATE_S)
    for _ in range(5):
        now_s = state.due_s
        assert state.step(Tick(True), now_s) == [core.Renew(expired=False)]
        told += state.step(Failed("away"), now_s)
    assert told == [core.Trouble("away")]
    state.step(Tick(True), state.due_s)
    state.step(Issued(NEXT), state.due_s)
    assert state.step(Proved(), state.due_s) == [core.Promote(), core.Recovered()]


@given(seed=st.integers(0, 2**32), away_days=st.integers(0, 120))
def test_pauses_are_bounded_and_come_closer_towards_the_end(seed: int, away_days: int) -> None:
    state = Renewal("boiler-7", LIFE, Random(seed))
    now_s, pauses = float(LATE_S), []
    while now_s < LATE_S + away_days * DAY_S and len(pauses) < 300:
        if state.step(Tick(True), now_s):
            state.step(Failed("away"), now_s)
        pauses.append(state.due_s - now_s)
        assert core.BASE_S <= pauses[-1] <= core.CAP_S
        left_s = LIFE.ends_s - now_s
        assert pauses[-1] <= max(left_s / 8, core.LEAST_CAP_S if left_s > 0 else core.EXPIRED_CAP_S, core.BASE_S * 2)
        now_s = state.due_s


def test_after_the_end_its_key_is_what_is_known_and_an_operator_decides() -> None:
    now_s = LIFE.ends_s + 10.0
    state = renewing(now_s)
    assert state.step(Waiting(600.0), now_s) == [core.Trouble("an operator must approve the renewal")]
    assert now_s + 600 <= state.due_s <= now_s + 660
    assert state.step(Tick(True), state.due_s) == [core.Renew(expired=True)]


@pytest.mark.parametrize("asked_s", [0.0, 1e9])
def test_no_server_makes_a_device_wait_too_shortly_or_for_ever(asked_s: float) -> None:
    state = renewing()
    state.step(Waiting(asked_s), LATE_S)
    assert LATE_S + 10 <= state.due_s <= LATE_S + 1.1 * DAY_S


def test_changed_ca_certificates_are_proved_like_a_certificate() -> None:
    state = Renewal("boiler-7", LIFE, Random(1))
    state.step(Tick(True), BEGAN_S + 1.0)
    assert state.step(Tick(True), state.refresh_due_s) == [core.Refresh()]
    assert state.step(Refreshed(changed=True), state.refresh_due_s) == [core.Prove()]
    assert state.step(Proved(), state.refresh_due_s) == [core.Promote()]
    assert state.life == LIFE


def test_ca_certificates_that_cannot_be_had_are_asked_for_within_a_day() -> None:
    state = Renewal("boiler-7", LIFE, Random(1))
    state.step(Tick(True), BEGAN_S + 1.0)
    now_s = state.refresh_due_s
    for _ in range(9):
        assert state.step(Tick(True), now_s) == [core.Refresh()]
        assert state.step(Failed("away"), now_s) == []
        assert 60 <= state.refresh_due_s - now_s <= DAY_S
        now_s = state.refresh_due_s


def test_a_promotion_that_the_disk_does_not_take_is_tried_again() -> None:
    state = staged()
    state.step(Proved(), LATE_S)
    assert state.step(Unkept(LIFE, "disk full"), LATE_S) == [core.Trouble("disk full")]
    assert (state.life, state.staged) == (LIFE, NEXT)
    assert state.step(Tick(True), state.prove_due_s) == [core.Prove()]
