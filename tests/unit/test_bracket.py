"""When a boot was that never knew the time."""

import pytest

from wayside_edge.hal.clock import FLOOR_NS
from wayside_edge.outbox.bracket import Boot, bracket
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState

HOUR = 3_600 * NS_PER_S
NOON = 1_790_000_000 * NS_PER_S


def unsynced(name: bytes, *, after: int = 0, ran: int = 0, believed: int = 0) -> Boot:
    return Boot(name, after, ran, ClockMap(ran, believed + ran, ClockState.UNSYNCED))


def synced(name: bytes, began: int, *, ran: int = 0) -> Boot:
    return Boot(name, 0, ran, ClockMap(HOUR, began + HOUR, ClockState.SYNCED))


def test_a_boot_between_two_known_times_lies_in_the_middle() -> None:
    boots = [unsynced(b"dark", after=NOON, ran=HOUR), synced(b"now", NOON + 5 * HOUR)]
    assert bracket(boots) == {b"dark": ClockMap(0, NOON + 2 * HOUR, ClockState.ESTIMATED, 2 * 3_600_000)}


def test_what_the_board_believed_is_taken_where_it_can_be_true() -> None:
    believed = NOON + HOUR
    boots = [unsynced(b"dark", after=NOON, ran=HOUR, believed=believed), synced(b"now", NOON + 5 * HOUR)]
    assert bracket(boots) == {b"dark": ClockMap(0, believed, ClockState.ESTIMATED, 3 * 3_600_000)}


def test_boots_in_a_row_do_not_overlap() -> None:
    boots = [
        synced(b"before", NOON, ran=HOUR),
        unsynced(b"one", after=NOON, ran=2 * HOUR),
        unsynced(b"two", after=NOON, ran=HOUR),
        synced(b"now", NOON + 5 * HOUR),
    ]
    found = bracket(boots)
    assert found[b"one"].wall_ns == NOON + HOUR + HOUR // 2
    assert found[b"two"].wall_ns == NOON + 3 * HOUR + HOUR // 2
    assert {found[name].err_ms for name in found} == {1_800_000}


def test_without_a_known_time_after_it_nothing_is_estimated() -> None:
    assert bracket([synced(b"before", NOON), unsynced(b"dark", after=NOON, ran=HOUR)]) == {}


@pytest.mark.parametrize("ran", [0, HOUR])
def test_known_times_that_contradict_each_other_bound_the_estimate_both(ran: int) -> None:
    boots = [unsynced(b"dark", after=NOON + 4 * HOUR, ran=ran), synced(b"now", NOON)]
    (estimate,) = bracket(boots).values()
    assert NOON - ran <= estimate.wall_ns <= NOON + 4 * HOUR
    assert estimate.err_ms == (4 * HOUR + ran) // 2 // 1_000_000


def test_a_board_that_never_knew_any_time_is_no_older_than_its_software() -> None:
    (estimate,) = bracket([unsynced(b"dark", ran=HOUR), synced(b"now", NOON)]).values()
    assert estimate.wall_ns == (FLOOR_NS + NOON - HOUR) // 2
