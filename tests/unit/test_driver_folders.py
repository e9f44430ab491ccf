"""Every driver is described: what it gives, how to wire it, where its figures come from."""

from pathlib import Path

import pytest

from wayside_edge import registry
from wayside_edge.config import parse
from wayside_firmware.board import chips
from wayside_shared.units import check_unit

ROOT = Path(registry.__file__).parent / "drivers"
UPLINK = '[uplink]\nhost = "h"\ndevice = "d-1"\n'


@pytest.mark.parametrize("name", registry.DRIVERS)
def test_the_kind_is_described(name: str) -> None:
    kind = registry.load(name)
    assert kind is not None
    assert kind.title
    for quantity in kind.quantities:
        assert quantity.low < quantity.high
        if quantity.unit:
            check_unit(quantity.unit)
    if kind.families:
        assert kind.quantities
    if "i2c" in kind.families:
        assert kind.addresses
        assert all(0x03 <= address <= 0x77 for address in kind.addresses)


@pytest.mark.parametrize("name", registry.DRIVERS)
def test_the_readme_has_a_configuration_that_is_right(name: str) -> None:
    # A folder may serve sister chips, each kind in a module of its own.
    folder = ROOT / registry.DRIVERS[name].removeprefix("wayside_edge.drivers.").split(".")[0]
    text = (folder / "README.md").read_text()
    assert "## Series" in text
    assert "## When it fails" in text
    examples = [part.split("```")[0] for part in text.split("```toml\n")[1:]]
    assert any(f'kind = "{name}"' in example for example in examples)
    for example in examples:
        parse(UPLINK + example, str(folder / "README.md"))


@pytest.mark.parametrize("name", [name for name in registry.DRIVERS if name not in ("host", "replay")])
def test_a_driver_of_a_chip_has_a_model(name: str) -> None:
    kind = registry.load(name)
    assert kind is not None
    assert name in chips.MODELS or not {"i2c", "spi"} & set(kind.families)


@pytest.mark.parametrize("name", chips.MODELS)
def test_a_model_is_where_its_driver_looks(name: str) -> None:
    model, kind = chips.load(name), registry.load(name)
    assert kind is None or model.address is None or model.address in kind.addresses
    assert kind is None or model.spi == ("spi" in kind.families)
