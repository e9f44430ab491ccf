"""What kernels say of real DS18B20s, and the temperatures of the data sheet. Append-only."""

from pathlib import Path

import pytest

from wayside_edge.drivers.ds18b20 import Ds18b20, Ds18b20Settings
from wayside_edge.errors import SensorError
from wayside_edge.hal.w1 import SysfsW1
from wayside_testkit.onewire import POWER_ON, W1Tree, check, page, scratchpad
from wayside_testkit.sensing import Bench

DEVICE = "28-0316a2791234"

# Linux, Documentation/w1/w1-generic.rst and w1_therm.rst show the form; the bytes are of real chips.
PAGES = [
    ("72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n", 23.125),
    ("73 01 4b 46 7f ff 0d 10 41 : crc=41 YES\n73 01 4b 46 7f ff 0d 10 41 t=23187\n", 23.187),
    ("50 05 4b 46 7f ff 0c 10 1c : crc=1c YES\n50 05 4b 46 7f ff 0c 10 1c t=85000\n", None),
]

# DS18B20 data sheet 19-7487, Table 1, "Temperature/Data Relationship".
TABLE = [
    (125.0, 0x07D0),
    (85.0, 0x0550),
    (25.0625, 0x0191),
    (10.125, 0x00A2),
    (0.5, 0x0008),
    (0.0, 0x0000),
    (-0.5, 0xFFF8),
    (-10.125, 0xFF5E),
    (-25.0625, 0xFE6F),
    (-55.0, 0xFC90),
]


def read(root: Path, text: str) -> float:
    tree = W1Tree(root)
    tree.put(DEVICE, text)
    bench = Bench()
    bench.wire = SysfsW1("wire", tree.root)
    thermometer = Ds18b20(Ds18b20Settings(id=DEVICE), "wire", bench)
    thermometer.start()
    (reading,) = thermometer.read()
    assert isinstance(reading.value, float)
    return reading.value


@pytest.mark.parametrize(("text", "celsius"), PAGES)
def test_a_page_of_the_kernel(tmp_path: Path, text: str, celsius: float | None) -> None:
    if celsius is None:
        with pytest.raises(SensorError):
            read(tmp_path, text)
    else:
        assert read(tmp_path, text) == celsius


@pytest.mark.parametrize("text", [text for text, _ in PAGES])
def test_the_fake_kernel_works_out_the_checksum_of_the_real_one(text: str) -> None:
    data = bytes.fromhex(text[:26])
    assert check(data[:8]) == data[8]


def test_the_fake_chip_wakes_up_as_a_real_one_does() -> None:
    assert bytes.fromhex("50054b467fff0c101c") == POWER_ON


@pytest.mark.parametrize(("celsius", "code"), TABLE)
def test_the_table_of_the_data_sheet(tmp_path: Path, celsius: float, code: int) -> None:
    data = scratchpad(celsius)
    assert data[1] << 8 | data[0] == code
    # The kernel cuts to thousandths (w1_therm.c, w1_DS18B20_convert_temp).
    assert read(tmp_path, page(data, int(celsius * 1000))) == pytest.approx(celsius, abs=0.001)
