"""The drivers of the kernel's sensors over a sysfs made of files: names, units, places, and what the kernel's errors
become."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from wayside_edge.drivers.kernel import KernelChannel, KernelSensor, KernelSettings
from wayside_edge.drivers.kernel.hwmon import SOURCE as HWMON
from wayside_edge.drivers.kernel.iio import SOURCE as IIO
from wayside_edge.drivers.kernel.thermal import SOURCE as THERMAL
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.ports import Reading
from wayside_shared.quality import Quality
from wayside_testkit.chips import refusal
from wayside_testkit.kernel import SysTree

SOURCES = {"iio": IIO, "hwmon": HWMON, "thermal": THERMAL}


@pytest.fixture
def tree(tmp_path: Path) -> SysTree:
    return SysTree(tmp_path)


def sensor(tree: SysTree, source: str, device: str, *channels: KernelChannel, at: str | None = None) -> KernelSensor:
    return KernelSensor(KernelSettings(device=device, at=at, channels=list(channels)), SOURCES[source], tree.root)


def taken(driver: KernelSensor) -> dict[str, Reading]:
    driver.start()
    return {reading.name: reading for reading in driver.read()}


def given(tree: SysTree, name: str, files: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    tree.iio(0, name, "1-0076", files)
    return {each.name: (each.value, each.unit) for each in taken(sensor(tree, "iio", name)).values()}


def test_processed_values_in_our_units(tree: SysTree) -> None:
    files = {
        "in_temp_input": "21480",
        "in_pressure_input": "100.653270",
        "in_humidityrelative_input": "56206",
        "in_humidityrelative_oversampling_ratio": "16",
        "sampling_frequency": "1",
        "uevent": "OF_NAME=bme280",
    }
    found = given(tree, "bme280", files)
    assert found == {
        "temperature": (pytest.approx(21.48), "Cel"),
        "pressure": (pytest.approx(1006.5327), "hPa"),
        "humidity": (pytest.approx(56.206), "%"),
    }


def test_raw_values_take_their_own_or_the_shared_scale_and_offset(tree: SysTree) -> None:
    files = {
        "in_voltage0_raw": "1024",
        "in_voltage0_scale": "2.0",
        "in_voltage1_raw": "-512",
        "in_voltage_scale": "3.0",
        "in_voltage0-voltage1_raw": "100",
        "in_voltage-voltage_scale": "0.5",
        "in_temp_raw": "300",
        "in_temp_offset": "-100",
        "in_temp_scale": "62.5",
        "in_accel_x_raw": "1000",
        "in_accel_scale": "0.009806",
        "in_anglvel_z_raw": "100",
        "in_anglvel_scale": "0.01",
        "in_magn_y_raw": "50",
        "in_magn_scale": "0.01",
    }
    found = given(tree, "thing", files)
    assert found == {
        "voltage_0": (pytest.approx(2.048), "V"),
        "voltage_1": (pytest.approx(-1.536), "V"),
        "voltage_0-1": (pytest.approx(0.05), "V"),
        "temperature": (pytest.approx(12.5), "Cel"),
        "acceleration_x": (pytest.approx(9.806), "m/s2"),
        "rotation_z": (pytest.approx(57.29577951), "deg/s"),
        "magnetic_field_y": (pytest.approx(50.0), "uT"),
    }


def test_a_scale_that_another_program_changes_is_followed(tree: SysTree) -> None:
    folder = tree.iio(0, "adc", "1-0048", {"in_voltage0_raw": "1000", "in_voltage0_scale": "1.0"})
    driver = sensor(tree, "iio", "adc")
    assert taken(driver)["voltage_0"].value == pytest.approx(1.0)
    (folder / "in_voltage0_scale").write_text("2.0")
    assert [reading.value for reading in driver.read()] == [pytest.approx(2.0)]


def test_a_processed_value_goes_before_a_raw_one_and_derived_ones_stay_out(tree: SysTree) -> None:
    files = {
        "in_temp_raw": "1",
        "in_temp_scale": "1",
        "in_temp_input": "20000",
        "in_temp_peak_raw": "9",
        "in_temp_trough_raw": "9",
        "in_temp_mean_raw": "9",
    }
    assert given(tree, "chip", files) == {"temperature": (20.0, "Cel")}


def test_a_type_that_is_new_and_a_raw_value_without_scale_are_plain_numbers(tree: SysTree) -> None:
    files = {"in_proximity_raw": "1234", "in_uvindex_input": "3", "in_intensity_ir_raw": "77"}
    assert given(tree, "chip", files) == {
        "proximity": (1234.0, "1"),
        "uvindex": (3.0, "1"),
        "intensity_ir": (77.0, "1"),
    }


def test_a_raw_current_with_neither_scale_nor_offset_is_in_milliamperes(tree: SysTree) -> None:
    files = {"in_current0_raw": "1500", "in_current1_raw": "7", "in_current1_offset": "3"}
    assert given(tree, "sink", files) == {"current_0": (pytest.approx(1.5), "A"), "current_1": (7.0, "1")}


def test_carbon_dioxide_is_in_parts_per_million(tree: SysTree) -> None:
    files = {"in_concentration_co2_raw": "650", "in_concentration_co2_scale": "0.0001"}
    assert given(tree, "scd4x", files) == {"concentration_co2": (pytest.approx(650.0), "[ppm]")}


def test_the_humidity_of_a_bme680_is_in_percent_already(tree: SysTree) -> None:
    assert given(tree, "bme680", {"in_humidityrelative_input": "45.123"}) == {"humidity": (45.123, "%")}


def test_a_platform_device_is_found_without_its_address(tree: SysTree) -> None:
    tree.iio(3, "dht11@4", "dht11@4", {"in_temp_input": "22100", "in_humidityrelative_input": "51900"})
    found = taken(sensor(tree, "iio", "dht11"))
    assert [(each.name, each.value, each.decimals) for each in found.values()] == [
        ("humidity", pytest.approx(51.9), 3),
        ("temperature", pytest.approx(22.1), 3),
    ]


@pytest.mark.parametrize("source", ["iio", "hwmon"])
def test_of_two_the_place_says_which(tree: SysTree, source: str) -> None:
    for number, at in ((0, "1-0044"), (1, "1-0045")):
        if source == "iio":
            tree.iio(number, "chip", at, {"in_temp_input": f"{number}000"})
        else:
            tree.hwmon(number, "chip", at, {"temp1_input": f"{number}000"})
    assert taken(sensor(tree, source, "chip", at="1-0045"))["temperature"].value == 1.0
    quality, message = refusal(sensor(tree, source, "chip").start)
    assert quality is Quality.WRONG_CHIP
    assert "chip at 1-0044, chip at 1-0045" in message
    assert "'at'" in message


@pytest.mark.parametrize("source", SOURCES)
def test_a_missing_device_names_those_that_are_there(tree: SysTree, source: str) -> None:
    with pytest.raises(DeviceAbsentError, match="none at all"):
        sensor(tree, source, "bme280").start()
    tree.iio(0, "other", "1-0010", {})
    tree.hwmon(0, "other", "1-0010", {})
    tree.thermal(0, "other", "1")
    with pytest.raises(DeviceAbsentError, match="no device is named 'bme280'; there are: other at "):
        sensor(tree, source, "bme280").start()


def test_hwmon_in_our_units_and_numbers_where_there_are_several(tree: SysTree) -> None:
    files = {
        "in0_input": "11950",
        "in1_input": "5020",
        "curr1_input": "1500",
        "power1_average": "12500000",
        "power2_average": "1",
        "power2_input": "2500000",
        "energy1_input": "3600000000",
        "fan1_input": "1200",
        "humidity1_input": "41230",
        "temp1_input": "-23450",
        "temp1_max": "80000",
        "temp1_label": "outside",
    }
    tree.hwmon(7, "psu", "1-0040", files)
    found = {each.name: (each.value, each.unit) for each in taken(sensor(tree, "hwmon", "psu")).values()}
    assert found == {
        "voltage_0": (pytest.approx(11.95), "V"),
        "voltage_1": (pytest.approx(5.02), "V"),
        "current": (1.5, "A"),
        "power_1": (pytest.approx(12.5), "W"),
        "power_2": (pytest.approx(2.5), "W"),
        "energy": (pytest.approx(3600.0), "J"),
        "fan": (1200.0, "/min"),
        "humidity": (pytest.approx(41.23), "%"),
        "temperature": (pytest.approx(-23.45), "Cel"),
    }


def test_a_fault_of_the_element_is_an_open_circuit(tree: SysTree) -> None:
    tree.hwmon(0, "rtd", "spi0.0", {"temp1_input": "20000", "temp1_fault": "1", "temp2_input": "21000"})
    found = taken(sensor(tree, "hwmon", "rtd"))
    assert (found["temperature_1"].value, found["temperature_1"].quality) == (None, Quality.OPEN_CIRCUIT)
    assert (found["temperature_2"].value, found["temperature_2"].quality) == (21.0, Quality.GOOD)


def test_a_thermal_zone(tree: SysTree) -> None:
    tree.thermal(0, "gpu-thermal", "1")
    tree.thermal(1, "cpu-thermal", "48312")
    (reading,) = taken(sensor(tree, "thermal", "cpu-thermal")).values()
    assert (reading.name, reading.value, reading.unit, reading.decimals) == ("temperature", 48.312, "Cel", 3)


def test_a_channel_in_a_unit_of_the_users(tree: SysTree) -> None:
    tree.iio(0, "adc", "1-0048", {"in_voltage0_raw": "1500", "in_voltage0_scale": "1.0", "in_voltage1_raw": "1"})
    wet = KernelChannel(channel="voltage0", name="moisture", scale=-66.0, offset=200.0, unit="%")
    (reading,) = taken(sensor(tree, "iio", "adc", wet)).values()
    assert (reading.name, reading.value, reading.unit) == ("moisture", pytest.approx(101.0), "%")


def test_a_channel_that_is_not_there_is_suggested(tree: SysTree) -> None:
    tree.iio(0, "adc", "1-0048", {"in_voltage0_raw": "1"})
    message = refusal(sensor(tree, "iio", "adc", KernelChannel(channel="voltage9", name="a")).start)[1]
    assert "no channel 'voltage9'; did you mean 'voltage0'?" in message


def test_a_device_without_channels_is_refused(tree: SysTree) -> None:
    tree.iio(0, "dac", "1-0048", {"out_voltage0_raw": "1"})
    assert "no channels that measure" in refusal(sensor(tree, "iio", "dac").start)[1]


def test_what_is_no_number_is_no_measurement(tree: SysTree) -> None:
    tree.iio(0, "imu", "1-0028", {"in_rot_quaternion_raw": "1 2 3 4"})
    driver = sensor(tree, "iio", "imu")
    driver.start()
    quality, message = refusal(driver.read)
    assert quality is Quality.INVALID
    assert "'1 2 3 4' is no number" in message


def test_bytes_that_are_no_text_are_no_measurement(tree: SysTree) -> None:
    folder = tree.hwmon(0, "sht3x", "1-0044", {"temp1_input": "21000"})
    driver = sensor(tree, "hwmon", "sht3x")
    driver.start()
    (folder / "temp1_input").write_bytes(b"21\xff0")
    quality, message = refusal(driver.read)
    assert quality is Quality.INVALID
    assert r"sht3x at 1-0044, temp1_input: '21\\xff0' is no number" in message


def test_a_neighbour_whose_name_is_no_text_is_passed_over(tree: SysTree) -> None:
    folder = tree.hwmon(0, "odd", "1-0045", {"temp1_input": "1000"})
    (folder / "name").write_bytes(b"\xfe\n")
    tree.hwmon(1, "sht3x", "1-0044", {"temp1_input": "21000"})
    driver = sensor(tree, "hwmon", "sht3x")
    driver.start()
    assert [reading.value for reading in driver.read()] == [21.0]


def test_a_device_that_is_unbound_is_absent_and_comes_back_under_another_number(tree: SysTree) -> None:
    folder = tree.iio(0, "bme280", "1-0076", {"in_temp_input": "20000"})
    driver = sensor(tree, "iio", "bme280")
    driver.start()
    shutil.rmtree(folder)
    (tree.root / "bus/iio/devices/iio:device0").unlink()
    with pytest.raises(DeviceAbsentError):
        driver.read()
    tree.iio(5, "bme280", "1-0076", {"in_temp_input": "21000"})
    assert taken(driver)["temperature"].value == 21.0


FAULTS = [
    ("bme280", errno.EIO, Quality.BUS_FAULT),
    ("bme280", errno.ETIMEDOUT, Quality.BUS_FAULT),
    ("bme280", errno.EREMOTEIO, Quality.ABSENT),
    ("bme280", errno.ENODEV, Quality.ABSENT),
    ("bme280", errno.EBUSY, Quality.NOT_READY),
    ("bme280", errno.EAGAIN, Quality.NOT_READY),
    ("bme280", errno.ENODATA, Quality.NOT_READY),
    ("bme280", errno.ERANGE, Quality.OUT_OF_RANGE),
    ("bme280", errno.EINVAL, Quality.INVALID),
    ("bme280", errno.EACCES, Quality.BUS_FAULT),
    ("dht11@4", errno.EIO, Quality.CHECKSUM),
    ("dht11@4", errno.ETIMEDOUT, Quality.NOT_READY),
    ("dht11@4", errno.ENODEV, Quality.ABSENT),
]


@pytest.mark.parametrize(("name", "number", "quality"), FAULTS)
def test_an_error_of_the_kernel_is_a_quality(
    tree: SysTree, monkeypatch: pytest.MonkeyPatch, name: str, number: int, quality: Quality
) -> None:
    tree.iio(0, name, "1-0076", {"in_temp_input": "20000", "in_pressure_input": "100"})
    driver = sensor(tree, "iio", name)
    driver.start()
    # No file system without the kernel's own drivers gives most of these.
    broken, read_text = {"in_temp_input"}, Path.read_text

    def read(self: Path, **options: str) -> str:
        if self.name in broken:
            raise OSError(number, os.strerror(number))
        return read_text(self, **options)

    monkeypatch.setattr(Path, "read_text", read)
    readings = {reading.name: reading for reading in driver.read()}
    assert (readings["temperature"].value, readings["temperature"].quality) == (None, quality)
    assert readings["pressure"].value == pytest.approx(1000.0)
    broken.add("in_pressure_input")
    with pytest.raises((BusError, SensorError), match=f"{name} at 1-0076, in_") as caught:
        driver.read()
    assert caught.value.quality is quality
