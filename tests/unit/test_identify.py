"""Chips at one address are told apart, and asking disturbs none of them."""

import dataclasses

import pytest

from wayside_edge import registry
from wayside_edge.errors import BusError
from wayside_edge.ports import DriverKind
from wayside_firmware.board import chips
from wayside_firmware.board.chip import SIGNALS
from wayside_testkit.chips import Slow, readings, started
from wayside_testkit.sensing import Bench

KINDS = {name: kind for name in registry.DRIVERS if (kind := registry.load(name)) is not None and kind.addresses}
PLACES = [
    (name, address)
    for name, kind in KINDS.items()
    if name in chips.MODELS and chips.load(name).address is not None
    for address in kind.addresses
    if address == chips.load(name).address or any(address in other.addresses for other in KINDS.values())
]


def soldered(name: str, address: int) -> Bench:
    """A bench with the model `name`, powered for a while."""
    bench = Bench()
    bench.signals.update({signal: swing(0.0) for signal, swing in SIGNALS.items()})
    bench.put(address, chips.load(name).build(bench.around))  # type: ignore[arg-type]
    bench.clock.sleep(2.0)
    return bench


def taken_for(bench: Bench, address: int) -> set[str]:
    """Every kind that says the chip at `address` is one of its own."""
    found = set()
    for name, kind in KINDS.items():
        if kind.identify is None or address not in kind.addresses:
            continue
        try:
            if kind.identify(Slow(bench), address):
                found.add(name)
        except BusError:  # it does not answer to what it does not know
            continue
    return found


def default(kind: DriverKind) -> object | None:
    """Its settings when nothing is set; None when something must be."""
    fields = dataclasses.fields(kind.settings)
    if any(field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING for field in fields):
        return None
    return kind.settings()


@pytest.mark.parametrize(("name", "address"), PLACES)
def test_a_chip_is_never_taken_for_another(name: str, address: int) -> None:
    assert taken_for(soldered(name, address), address) <= {name}


@pytest.mark.parametrize("name", sorted({name for name, _ in PLACES}))
def test_a_chip_that_is_asked_is_told_and_goes_on_as_it_was(name: str) -> None:
    settings = default(KINDS[name])
    if settings is None:
        pytest.skip("its settings have no defaults")
    address = chips.load(name).address
    assert address is not None
    bench = soldered(name, address)
    driver = started(bench, KINDS[name].build(settings, "main", bench))
    before = {each: reading.quality for each, reading in readings(bench, driver).items()}
    assert taken_for(bench, address) == ({name} if KINDS[name].identify is not None else set())
    bench.clock.sleep(6.0)  # an SCD4x measures every 5 s
    after = {each: reading.quality for each, reading in readings(bench, driver).items()}
    assert after == before
