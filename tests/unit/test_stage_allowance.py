"""How much a stage may give, and what becomes of one that gives more."""

import pytest

from wayside_edge.acquisition.allowance import BURST_S, PER_READING, TEXT_BYTES, Allowance
from wayside_edge.compute.serving import StageError
from wayside_shared.clock import NS_PER_S
from wayside_shared.stage_worker import Failure

PER_S = 10.0
AT_ONCE = 50


def allowance() -> Allowance:
    return Allowance(PER_S, AT_ONCE, 0)


def test_a_rate_is_held_over_time_and_a_burst_goes() -> None:
    held = allowance()
    held.spend(round(PER_S * BURST_S), (), 0, 0)
    for second in range(1, 100):
        held.spend(round(PER_S), (), 0, second * NS_PER_S)
    with pytest.raises(StageError, match="raise its outputs_per_s") as caught:
        held.spend(1, (), 0, 99 * NS_PER_S)
    assert caught.value.failure is Failure.OUTPUT


def test_what_comes_of_many_readings_is_not_held_to_the_clock() -> None:
    held = allowance()
    for _ in range(100):
        held.spend(2000, (), 2000 // PER_READING, 0)


def test_texts_count_by_their_bytes() -> None:
    held = allowance()
    with pytest.raises(StageError, match="2 readings and 3 texts"):
        held.spend(2, ["é" * TEXT_BYTES * 20] * 3, 0, 0)
    with pytest.raises(StageError):
        allowance().spend(0, [""] * (AT_ONCE * 2 + 1), 0, 0)


def test_one_that_floods_on_has_to_wait_longer_than_one_that_did_once() -> None:
    held = allowance()
    for _ in range(3):
        with pytest.raises(StageError):
            held.spend(10_000, (), 0, 0)
    with pytest.raises(StageError):
        held.spend(AT_ONCE, (), 0, 10 * NS_PER_S)
    held.spend(AT_ONCE, (), 0, 60 * NS_PER_S)
