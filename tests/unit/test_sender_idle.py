"""What has no hurry is carried only when nothing that has waits."""

from random import Random

from wayside_edge.uplink.sender import Added, Connected, Disconnected, GotHello, Removed, Sender
from wayside_shared.ranges import Ranges
from wayside_shared.session import ServerHello

EPOCH = b"epoch-one-------"


def greeted(pending: Ranges, window: int = 2) -> Sender:
    sender = Sender(pending, window, Random(1), window=float(window))
    assert not sender.idle
    sender.step(Connected(b"nonce--1"), 0)
    assert not sender.idle, "the server was not heard yet"
    sender.step(GotHello(ServerHello(b"nonce--1", EPOCH, 0, 0, "server"), EPOCH, 100), 1)
    return sender


def test_nothing_pending_or_all_on_its_way_is_idle() -> None:
    sender = greeted(Ranges())
    assert sender.idle
    sender.step(Added([1]), 2)
    assert sender.idle
    sender.step(Removed([1], 1), 3)
    assert sender.idle
    sender.step(Disconnected(), 4)
    assert not sender.idle


def test_a_backlog_that_waits_for_its_window_is_not() -> None:
    sender = greeted(Ranges(range(1, 50)))
    assert not sender.idle
    for seq in range(1, 49):
        sender.step(Removed([seq]), 5)
    assert sender.idle
