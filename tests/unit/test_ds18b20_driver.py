"""The DS18B20 driver over a folder like the kernel's: values, every way to fail, conversions of all probes together."""

from pathlib import Path

import pytest

from wayside_edge.drivers.ds18b20 import Ds18b20, Ds18b20Settings
from wayside_edge.errors import BusError, ConfigError, DeviceAbsentError
from wayside_edge.hal.w1 import SysfsW1
from wayside_edge.registry import build
from wayside_shared.quality import Quality
from wayside_testkit.chips import refusal
from wayside_testkit.onewire import POWER_ON, W1Tree, page, scratchpad
from wayside_testkit.sensing import Bench, ManualClock, sensor

ONE, TWO, OLD = "28-000000000001", "28-000000000002", "10-000000000003"


@pytest.fixture
def tree(tmp_path: Path) -> W1Tree:
    return W1Tree(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def bench(tree: W1Tree, clock: ManualClock) -> Bench:
    bench = Bench()
    bench.wire = SysfsW1("wire", tree.root, clock.boottime_ns)
    return bench


def driver(bench: Bench, device: str = ONE, resolution: int | None = None) -> Ds18b20:
    return Ds18b20(Ds18b20Settings(id=device, resolution=resolution), "wire", bench)


def started(bench: Bench, device: str = ONE, resolution: int | None = None) -> Ds18b20:
    thermometer = driver(bench, device, resolution)
    thermometer.start()
    return thermometer


def write_says(tree: W1Tree, data: bytes, thousandths: int, verdict: str = "YES", device: str = ONE) -> None:
    tree.put(device, page(data, thousandths, verdict))


def failure(bench: Bench) -> tuple[Quality, str]:
    thermometer = started(bench)
    return refusal(thermometer.read)


@pytest.mark.parametrize(("bits", "decimals"), [(9, 1), (10, 2), (11, 3), (12, 3)])
def test_the_resolution_of_the_chip_says_how_many_digits_count(
    bench: Bench, tree: W1Tree, bits: int, decimals: int
) -> None:
    write_says(tree, scratchpad(23.5, bits), 23_500)
    (reading,) = started(bench).read()
    assert (reading.name, reading.value, reading.unit) == ("temperature", 23.5, "Cel")
    assert (reading.decimals, reading.age_ns, reading.quality) == (decimals, 0, Quality.GOOD)


def test_a_ds18s20_has_the_digits_that_the_kernel_works_out(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, bytes.fromhex("32004b46ffff0410") + b"\x5b", 25_500, device=OLD)
    (reading,) = started(bench, OLD).read()
    assert (reading.value, reading.decimals) == (25.5, 3)


@pytest.mark.parametrize("thousandths", [85_000, 127_937])
def test_a_value_that_was_never_measured_is_none(bench: Bench, tree: W1Tree, thousandths: int) -> None:
    write_says(tree, POWER_ON, thousandths)
    quality, message = failure(bench)
    assert quality is Quality.POWER_LOST
    assert "supply" in message


def test_85_degrees_that_were_measured_are_a_value(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, scratchpad(85.0), 85_000)
    assert [reading.value for reading in started(bench).read()] == [85.0]


def test_a_checksum_that_does_not_fit(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, b"\xff" * 9, -62, "NO")
    quality, message = failure(bench)
    assert quality is Quality.CHECKSUM
    assert "ffffffffffffffffff" in message


def test_zeros_have_a_checksum_of_zero_and_are_a_short(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, bytes(9), 0)
    quality, message = failure(bench)
    assert quality is Quality.BUS_FAULT
    assert "shorted" in message


def test_silence_is_an_absent_probe(bench: Bench, tree: W1Tree) -> None:
    tree.put(ONE, "")
    assert failure(bench)[0] is Quality.ABSENT


def test_another_kind_of_device_is_told(bench: Bench, tree: W1Tree) -> None:
    tree.put(ONE, "not a page\n")
    quality, message = failure(bench)
    assert quality is Quality.INVALID
    assert "'not a page'" in message


def test_bytes_that_are_no_text_are_no_measurement(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, scratchpad(20.5), 20_500)
    thermometer = started(bench)
    file = tree.root / ONE / "w1_slave"
    file.write_bytes(b"\xfe" + file.read_bytes()[1:])
    quality, message = refusal(thermometer.read)
    assert quality is Quality.INVALID
    assert ONE in message
    assert "xfe" in message


def test_a_missing_probe_names_those_that_are_there(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, POWER_ON, 85_000, device=TWO)
    with pytest.raises(DeviceAbsentError, match=rf"bus wire, device {ONE}: not found.*there are: {TWO}$"):
        driver(bench).start()
    tree.unplug(TWO)
    with pytest.raises(DeviceAbsentError, match="none at all"):
        driver(bench).start()


def test_a_probe_that_goes_away_is_absent_and_comes_back(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, scratchpad(1.0), 1000)
    write_says(tree, scratchpad(1.0), 1000, device=TWO)
    thermometer = started(bench)
    tree.unplug(ONE)
    with pytest.raises(DeviceAbsentError, match=f"there are: {TWO}"):
        thermometer.read()
    write_says(tree, scratchpad(1.0), 1000)
    thermometer.start()
    assert [reading.value for reading in thermometer.read()] == [1.0]


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_without_the_overlay_the_message_has_its_line(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    bench = Bench()
    bench.wire = SysfsW1("wire", tmp_path / folder)
    with pytest.raises(BusError, match="dtoverlay=w1-gpio"):
        driver(bench).start()


def test_the_resolution_is_set_once_and_watched(bench: Bench, tree: W1Tree) -> None:
    file = tree.put(ONE, page(scratchpad(20.25, 10), 20_250)) / "resolution"
    file.write_text("12\n")
    thermometer = started(bench, ONE, 10)
    assert file.read_text() == "10\n"
    assert [reading.value for reading in thermometer.read()] == [20.25]
    write_says(tree, scratchpad(20.25, 12), 20_250)
    assert refusal(thermometer.read)[0] is Quality.POWER_LOST
    changed_ns = file.stat().st_mtime_ns
    thermometer.start()
    assert file.stat().st_mtime_ns == changed_ns, "it is right already: a write costs 20 ms of the wire"


def test_a_kernel_without_resolutions_says_so(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, scratchpad(20.25), 20_250)
    assert "remove 'resolution'" in refusal(driver(bench, ONE, 9).start)[1]


def test_a_ds18s20_with_a_resolution_is_refused_as_configuration(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="remove 'resolution'"):
        build(sensor("old", "ds18b20", bus="wire", id=OLD, resolution=9), bench)


def test_probes_on_one_wire_convert_together(bench: Bench, tree: W1Tree, clock: ManualClock) -> None:
    trigger = tree.bulk()
    write_says(tree, scratchpad(1.0), 1000)
    write_says(tree, scratchpad(2.0), 2000, device=TWO)
    first, second = started(bench), started(bench, TWO)
    first.read()
    assert trigger.read_text() == "", "alone it need not wake the others"
    assert [reading.age_ns for reading in second.read()] == [0]
    assert trigger.read_text() == "trigger\n"
    trigger.write_text("")
    clock.now_ns += 300_000_000
    assert [reading.age_ns for reading in first.read()] == [300_000_000]
    assert trigger.read_text() == "", "it was among those that converted"
    first.read()
    assert trigger.read_text() == "trigger\n", "a conversion serves one read of each"


def test_an_old_conversion_is_not_taken_for_a_new_reading(bench: Bench, tree: W1Tree, clock: ManualClock) -> None:
    trigger = tree.bulk()
    write_says(tree, scratchpad(1.0), 1000)
    write_says(tree, scratchpad(2.0), 2000, device=TWO)
    first, second = started(bench), started(bench, TWO)
    first.read()
    second.read()
    trigger.write_text("")
    clock.now_ns += 1_000_000_001
    assert [reading.age_ns for reading in first.read()] == [0]
    assert trigger.read_text() == "trigger\n"


def test_a_probe_on_another_wire_is_left_alone(bench: Bench, tree: W1Tree) -> None:
    trigger = tree.bulk()
    write_says(tree, scratchpad(1.0), 1000)
    tree.master("w1_bus_master2")
    tree.put(TWO, page(scratchpad(2.0), 2000), "w1_bus_master2")
    first, second = started(bench), started(bench, TWO)
    first.read()
    second.read()
    first.read()
    assert trigger.read_text() == ""


def test_each_converts_by_itself_where_the_kernel_has_none_convert_together(bench: Bench, tree: W1Tree) -> None:
    write_says(tree, scratchpad(1.0), 1000)
    write_says(tree, scratchpad(2.0), 2000, device=TWO)
    first, second = started(bench), started(bench, TWO)
    for thermometer, value in ((first, 1.0), (second, 2.0), (first, 1.0)):
        assert [(reading.value, reading.age_ns) for reading in thermometer.read()] == [(value, 0)]
