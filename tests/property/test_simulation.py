"""The promise under simulated trouble: each seed is a world of its own, and replays exactly."""

import logging

import pytest

from wayside_shared.clock import ClockState
from wayside_testkit.simulated_server import Harshness
from wayside_testkit.virtual import run_virtually
from wayside_testkit.world import World

CLEAN = {"lost": 0, "duplicated": 0, "phantom": 0, "partial": 0}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="wayside_edge")


def live(seed: int, harsh: Harshness, seconds: float = 120.0) -> dict[str, int]:
    verdict = run_virtually(World(seed, harsh).run(seconds))
    assert verdict.pop("accepted") > 300, "a world in which nothing happens proves nothing"
    return verdict


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_lost_or_doubled(seed: int) -> None:
    assert live(seed, Harshness()) == CLEAN


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_doubled_when_cards_go_back_in_time(seed: int) -> None:
    assert live(seed, Harshness(card_restored_s=15.0)) == CLEAN


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_doubled_when_the_server_goes_back_in_time(seed: int) -> None:
    assert live(seed, Harshness(server_restored_s=20.0)) == CLEAN


@pytest.mark.parametrize("seed", range(4))
def test_boards_that_wake_up_without_the_time_lose_nothing_and_admit_every_error(seed: int) -> None:
    world = World(seed, Harshness(device_dies_s=4.0, clock_jumps_s=0.0), dark=True)
    verdict = run_virtually(world.run(120.0))
    assert verdict.pop("accepted") > 300
    assert verdict == CLEAN
    assert world.mistimed() == []
    states = {clock.state for _, clock in world.database.times.values()}
    assert states == {ClockState.SYNCED, ClockState.ESTIMATED}
