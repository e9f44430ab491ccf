"""Two connections with one identity: a clone is told from an agent that reconnects by the addresses."""

from wayside_server.domain.takeovers import MOST, NAMES, WITHIN_S, Takeovers
from wayside_server.domain.watching import FLAPPING_SESSION, SHARED_IDENTITY


def connect(takeovers: Takeovers, address: str, now_s: float, *, taken: bool = True, name: str = "boiler-7") -> None:
    """The lines of mosquitto 2.0 on a connection that takes another's place, or not."""
    if taken:
        takeovers.note(f"Client {name} already connected, closing old connection.", now_s)
    takeovers.note(f"New client connected from {address}:40475 as {name} (p5, c1, k60, u'{name}').", now_s)


def test_boards_that_take_turns_are_a_clone() -> None:
    takeovers = Takeovers()
    connect(takeovers, "192.0.2.1", 0.0, taken=False)
    for i in range(MOST + 1):
        assert takeovers.take() == []
        connect(takeovers, f"192.0.2.{1 + (i + 1) % 2}", float(i))
    (found,) = takeovers.take()
    assert (found.device, found.kind) == ("boiler-7", SHARED_IDENTITY)
    assert "from 192.0.2.1 and 192.0.2.2" in found.detail
    assert takeovers.take() == []


def test_one_address_is_a_bad_link() -> None:
    takeovers = Takeovers()
    for i in range(MOST + 1):
        connect(takeovers, "2001:db8::7", float(i))
    (found,) = takeovers.take()
    assert found.kind == FLAPPING_SESSION
    assert "always from 2001:db8::7" in found.detail


def test_a_few_takeovers_and_slow_ones_are_nothing() -> None:
    takeovers = Takeovers()
    for i in range(10):
        connect(takeovers, "192.0.2.1", i * (WITHIN_S / MOST + 1))
    assert takeovers.take() == []


def test_names_do_not_fill_the_memory() -> None:
    takeovers = Takeovers()
    for i in range(NAMES + 10):
        connect(takeovers, "192.0.2.1", 0.0, taken=False, name=f"board-{i}")
    assert len(takeovers._names) == NAMES


def test_what_a_client_says_of_itself_is_no_line_of_the_broker() -> None:
    takeovers = Takeovers()
    for i in range(MOST + 2):
        takeovers.note("intruder 1 Client boiler-7 already connected, closing old connection.", float(i))
    assert takeovers.take() == []
