"""What ingest holds decoded is bounded, however much a small message says it holds."""

from functools import partial

from wayside_server.domain.ingest import Item, cost
from wayside_server.ingest.intake import AHEAD_COST, MAX_GROUP_COST, Arrived, Intake, SessionBegan, Ticket, Write
from wayside_testkit.batches import Device, column, received


def test_dense_messages_wait_undecoded() -> None:
    payload = Device().message(column("t", [1.0] * 60_000))
    assert len(payload) < 4_000, "small on the wire"
    intake = Intake()
    intake.step(SessionBegan(1))
    decoded = 0

    def decode() -> Item:
        nonlocal decoded
        decoded += 1
        return received("boiler-7", payload)

    writes = [
        effect for i in range(256) for effect in intake.step(Arrived(decode, Ticket(1, i))) if isinstance(effect, Write)
    ]
    one = cost(received("boiler-7", payload))
    assert one >= 60_000 * 16
    assert decoded <= (AHEAD_COST + MAX_GROUP_COST) // one + 3
    assert len(intake.arrived) > 200
    assert sum(cost(item) for item in writes[0].items) <= MAX_GROUP_COST


def test_usual_messages_go_together() -> None:
    device = Device()
    items = [partial(received, "boiler-7", device.message(column("t", [float(i)]))) for i in range(200)]
    intake = Intake()
    intake.step(SessionBegan(1))
    first = intake.step(Arrived(items[0], Ticket(1, 0)))
    for i, item in enumerate(items[1:], start=1):
        assert intake.step(Arrived(item, Ticket(1, i))) == []
    assert len(first) == 1
    assert len(intake.waiting) == 199
