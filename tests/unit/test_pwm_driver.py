"""The PWM output over a sysfs made of files."""

import errno
import os
from pathlib import Path

import pytest

from wayside_edge.drivers.pwm import PwmDriver, PwmOutputSettings
from wayside_edge.errors import BusError, DeviceAbsentError, SensorError
from wayside_edge.hal.pwm import PwmOutput


def controller(root: Path, number: int = 0, device: str = "fe20c000.pwm") -> Path:
    """A controller with one channel, which was exported before; its folder."""
    chip = root / f"class/pwm/pwmchip{number}"
    (chip / "pwm0").mkdir(parents=True)
    (root / "devices" / device).mkdir(parents=True)
    (chip / "device").symlink_to(root / "devices" / device)
    (chip / "export").write_text("")
    for name in ("period", "duty_cycle", "enable"):
        (chip / "pwm0" / name).write_text("0\n")
    return chip


def driver(root: Path, chip: str | None = None, channel: int = 0, **settings: float) -> PwmDriver:
    return PwmDriver(PwmOutputSettings(channel=channel, chip=chip, **settings), PwmOutput(chip, channel, root))


def test_it_holds_its_share_and_is_left_safe(tmp_path: Path) -> None:
    channel = controller(tmp_path) / "pwm0"
    fan = driver(tmp_path, frequency_hz=25_000.0, initial=40.0, safe=100.0)
    fan.start()
    assert [(channel / name).read_text() for name in ("period", "duty_cycle", "enable")] == ["40000", "16000", "1"]
    (reading,) = fan.read()
    assert (reading.name, reading.value, reading.unit) == ("duty", 40.0, "%")
    fan.close()
    assert [(channel / name).read_text() for name in ("duty_cycle", "enable")] == ["40000", "1"]


def test_another_program_that_switches_it_off_is_seen(tmp_path: Path) -> None:
    channel = controller(tmp_path) / "pwm0"
    fan = driver(tmp_path, initial=40.0)
    fan.start()
    (channel / "enable").write_text("0\n")
    assert [reading.value for reading in fan.read()] == [0.0]


def test_without_a_controller_the_message_has_the_overlay(tmp_path: Path) -> None:
    with pytest.raises(DeviceAbsentError, match="dtoverlay=pwm"):
        driver(tmp_path).start()


def test_of_several_one_must_be_chosen(tmp_path: Path) -> None:
    controller(tmp_path)
    other = controller(tmp_path, 1, "other.pwm")
    with pytest.raises(DeviceAbsentError, match=r"'chip'; there are: fe20c000.pwm, other.pwm"):
        driver(tmp_path).start()
    driver(tmp_path, "other.pwm", initial=50.0).start()
    assert (other / "pwm0/duty_cycle").read_text() == "500000"


def test_a_channel_that_the_controller_does_not_have(tmp_path: Path) -> None:
    export = controller(tmp_path) / "export"
    with pytest.raises(DeviceAbsentError, match="correct 'channel'"):
        driver(tmp_path, channel=3).start()
    assert export.read_text() == "3"


def test_a_controller_that_goes_away(tmp_path: Path) -> None:
    chip = controller(tmp_path)
    fan = driver(tmp_path)
    fan.start()
    chip.rename(tmp_path / "away")
    with pytest.raises(BusError, match="PWM controller, channel 0: enable"):
        fan.read()
    fan.close()


def test_a_read_only_sysfs_names_the_setting_of_the_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller(tmp_path)

    def refuse(self: Path, text: str, **_options: str) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "write_text", refuse)  # root may write to any other file system
    with pytest.raises(BusError, match="ProtectKernelTunables=no"):
        driver(tmp_path).start()


def test_reading_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match="not started"):
        driver(tmp_path).read()
