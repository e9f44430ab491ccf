"""What every `Driver` does."""

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from wayside_edge import registry
from wayside_edge.drivers.ads1115 import Ads1115, Ads1115Channel, Ads1115Settings
from wayside_edge.drivers.adxl345 import Adxl345, Adxl345Settings
from wayside_edge.drivers.aht20 import Aht20, Aht20Settings
from wayside_edge.drivers.bh1750 import Bh1750, Bh1750Settings
from wayside_edge.drivers.bme280 import Bme280, Bme280Settings, Bmp280, Bmp280Settings
from wayside_edge.drivers.bme680 import Bme680, Bme680Settings
from wayside_edge.drivers.ds18b20 import Ds18b20, Ds18b20Settings
from wayside_edge.drivers.gpio import (
    DigitalInput,
    DigitalInputSettings,
    DigitalOutput,
    DigitalOutputSettings,
    PulseCounter,
    PulseCounterSettings,
)
from wayside_edge.drivers.host import Host, HostSettings
from wayside_edge.drivers.ina219 import Ina219, Ina219Settings
from wayside_edge.drivers.ina226 import Ina226, Ina226Settings
from wayside_edge.drivers.kernel import KernelSensor, KernelSettings, Source, hwmon, iio, thermal
from wayside_edge.drivers.lm75 import Lm75, Lm75Settings
from wayside_edge.drivers.max6675 import Max6675, Max6675Settings
from wayside_edge.drivers.max31855 import Max31855, Max31855Settings
from wayside_edge.drivers.max31865 import Max31865, Max31865Settings
from wayside_edge.drivers.mcp3008 import Mcp3008, Mcp3008Channel, Mcp3008Settings
from wayside_edge.drivers.mcp9808 import Mcp9808, Mcp9808Settings
from wayside_edge.drivers.mcp23017 import Mcp23017, Mcp23017Input, Mcp23017Settings
from wayside_edge.drivers.modbus import Modbus, ModbusRegister, ModbusSettings
from wayside_edge.drivers.mpu6050 import Mpu6050, Mpu6050Settings
from wayside_edge.drivers.pms5003 import Pms5003, Pms5003Settings
from wayside_edge.drivers.pwm import PwmDriver, PwmOutputSettings
from wayside_edge.drivers.replay import Replay, ReplaySettings
from wayside_edge.drivers.replay.settings import ReplayColumn
from wayside_edge.drivers.scd4x import Scd4x, Scd4xSettings
from wayside_edge.drivers.sgp40 import Sgp40, Sgp40Settings
from wayside_edge.drivers.sht3x import Sht3x, Sht3xSettings
from wayside_edge.drivers.sht4x import Sht4x, Sht4xSettings
from wayside_edge.drivers.si7021 import Htu21d, Htu21dSettings, Si7021, Si7021Settings
from wayside_edge.drivers.tmp102 import Tmp102, Tmp102Settings
from wayside_edge.drivers.tmp117 import Tmp117, Tmp117Settings
from wayside_edge.drivers.veml7700 import Veml7700, Veml7700Settings
from wayside_edge.drivers.vl53l0x import Vl53l0x, Vl53l0xSettings
from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.gpio import Gpio
from wayside_edge.hal.modbus import ModbusLine
from wayside_edge.hal.pwm import PwmOutput
from wayside_edge.hal.system import System
from wayside_edge.hal.uart import SerialUart
from wayside_edge.hal.w1 import SysfsW1
from wayside_edge.pipeline.batcher import Batcher
from wayside_edge.pipeline.settings import BatchSettings
from wayside_edge.ports import Driver
from wayside_firmware.board import chips
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import SIGNALS, Fault, I2cChip, SpiChip
from wayside_firmware.board.chips.pms5003 import Pms5003Chip
from wayside_firmware.board.gpio import SimulatedGpio, SimulatedLine
from wayside_firmware.board.modbus import SimulatedModbus
from wayside_firmware.board.serial import SimulatedSerial
from wayside_testkit.kernel import SysTree
from wayside_testkit.onewire import W1Tree, page, scratchpad
from wayside_testkit.sensing import Bench, Board, finish


@dataclass
class Case:
    """A driver, how to take its source away, and how to give it back."""

    driver: Driver
    take_away: Callable[[], object]
    give_back: Callable[[], object]
    sleep: Callable[[float], None] = time.sleep


def on_i2c(bench: Bench, address: int, driver: Driver) -> Case:
    """A driver on a simulated I2C chip, which is unplugged and plugged in again."""
    return Case(
        driver,
        lambda: bench.bus.set_fault(address, Fault.ABSENT),
        lambda: bench.bus.set_fault(address, Fault.NONE),
        bench.clock.sleep,
    )


def on_spi(bench: Bench, driver: Driver) -> Case:
    """A driver on a simulated SPI chip at chip select 0, which is unplugged and plugged in again."""
    return Case(
        driver,
        lambda: bench.spi_bus.set_fault(0, Fault.ABSENT),
        lambda: bench.spi_bus.set_fault(0, Fault.NONE),
        bench.clock.sleep,
    )


def plugged(name: str, build: Callable[[Bench], Driver]) -> Callable[[Path], Case]:
    """The case of a driver on the model of its name, at its usual I2C address, or on SPI when it has none."""

    def case(_tmp_path: Path) -> Case:
        bench = Bench()
        bench.signals.update({signal: swing(0.0) for signal, swing in SIGNALS.items()})
        model = chips.load(name)
        if model.address is None:
            bench.put_spi(0, cast(SpiChip, model.build(bench.around)))
            return on_spi(bench, build(bench))
        bench.put(model.address, cast(I2cChip, model.build(bench.around)))
        return on_i2c(bench, model.address, build(bench))

    return case


def bme280(_tmp_path: Path) -> Case:
    board = Board(State(20.0, 100_000.0, 50.0))
    driver = Bme280(Bme280Settings(), "main", board)
    return on_i2c(board, 0x76, driver)


def ds18b20(tmp_path: Path) -> Case:
    tree, device = W1Tree(tmp_path), "28-000000000001"
    text = page(scratchpad(20.5), 20_500)
    tree.put(device, text)
    bench = Bench()
    bench.wire = SysfsW1("wire", tree.root)
    driver = Ds18b20(Ds18b20Settings(id=device), "wire", bench)
    return Case(driver, lambda: tree.unplug(device), lambda: tree.put(device, text))


def on_gpio(build: Callable[[Bench], Driver]) -> Callable[[Path], Case]:
    """The case of a driver on line 17 of a controller, which is unplugged and plugged in again."""

    def case(_tmp_path: Path) -> Case:
        bench, board = Bench(), SimulatedGpio({"17": SimulatedLine()})
        bench.pins = Gpio("pins", lambda: board)

        def fail(number: int | None) -> None:
            board.fault = number

        return Case(build(bench), lambda: fail(errno.ENODEV), lambda: fail(None))

    return case


def modbus(_tmp_path: Path) -> Case:
    bench, line = Bench(), SimulatedModbus({(1, "holding", 0): 7})
    bench.line = ModbusLine("line", lambda: line)
    registers = [ModbusRegister(name="level", address=0)]

    def fail(number: int | None) -> None:
        line.fault = number

    driver = Modbus(ModbusSettings(registers=registers), "line", bench)
    return Case(driver, lambda: fail(errno.ECONNREFUSED), lambda: fail(None), bench.clock.sleep)


def pms5003(_tmp_path: Path) -> Case:
    bench = Bench()
    line = SimulatedSerial(Pms5003Chip(bench.around))
    bench.tty = SerialUart("tty", lambda: line)
    driver = Pms5003(Pms5003Settings(), "tty", bench, bench.clock)
    return Case(driver, lambda: line.set_fault(Fault.ABSENT), lambda: line.set_fault(Fault.NONE), bench.clock.sleep)


def pwm(tmp_path: Path) -> Case:
    channel, away = tmp_path / "class/pwm/pwmchip0/pwm0", tmp_path / "away"
    channel.mkdir(parents=True)
    (channel.parent / "device").symlink_to(tmp_path)
    for name in ("period", "duty_cycle", "enable"):
        (channel / name).write_text("0")
    driver = PwmDriver(PwmOutputSettings(), PwmOutput(None, 0, tmp_path))
    return Case(driver, lambda: channel.parent.rename(away), lambda: away.rename(channel.parent))


def host(tmp_path: Path) -> Case:
    proc = tmp_path / "proc"
    (proc / "net").mkdir(parents=True)
    (proc / "stat").write_text("cpu  1 1 1 1 1 1 1 1 0 0\n")
    (proc / "meminfo").write_text("MemTotal: 4 kB\nMemAvailable: 1 kB\n")
    (proc / "net/dev").write_text("-\n-\neth0: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n")
    away = tmp_path / "away"
    return Case(Host(HostSettings(), System(tmp_path)), lambda: proc.rename(away), lambda: away.rename(proc))


def kernel(source: Source, put: Callable[[SysTree], Path]) -> Callable[[Path], Case]:
    """The case of a device of the kernel's that is bound to its driver, and unbound."""

    def case(tmp_path: Path) -> Case:
        folder, away = put(SysTree(tmp_path)), tmp_path / "away"
        driver = KernelSensor(KernelSettings(device="it"), source, tmp_path)
        return Case(driver, lambda: folder.rename(away), lambda: away.rename(folder))

    return case


def replay(tmp_path: Path) -> Case:
    file, away = tmp_path / "r.csv", tmp_path / "away.csv"
    file.write_text("t,v\n" + "".join(f"2026-01-01T00:00:{i:02},{i}\n" for i in range(9)))
    settings = ReplaySettings(file=file, time_column="t", columns=[ReplayColumn(column="v", name="v", unit="1")])
    return Case(Replay(settings), lambda: file.rename(away), lambda: away.rename(file))


CASES = {
    "ads1115": plugged(
        "ads1115",
        lambda bench: Ads1115(Ads1115Settings(channels=[Ads1115Channel(name="in", input="0")]), "main", bench),
    ),
    "adxl345": plugged("adxl345", lambda bench: Adxl345(Adxl345Settings(fifo_rate_hz=100.0), "main", bench)),
    "aht20": plugged("aht20", lambda bench: Aht20(Aht20Settings(), "main", bench)),
    "bh1750": plugged("bh1750", lambda bench: Bh1750(Bh1750Settings(), "main", bench)),
    "bme280": bme280,
    "bme680": plugged("bme680", lambda bench: Bme680(Bme680Settings(), "main", bench)),
    "bmp280": plugged("bmp280", lambda bench: Bmp280(Bmp280Settings(), "main", bench)),
    "digital_input": on_gpio(lambda bench: DigitalInput(DigitalInputSettings(line="17"), "pins", bench)),
    "digital_output": on_gpio(lambda bench: DigitalOutput(DigitalOutputSettings(line="17"), "pins", bench)),
    "ds18b20": ds18b20,
    "host": host,
    "htu21d": plugged("htu21d", lambda bench: Htu21d(Htu21dSettings(), "main", bench)),
    "hwmon": kernel(hwmon.SOURCE, lambda tree: tree.hwmon(0, "it", "1-0044", {"temp1_input": "1"})),
    "iio": kernel(iio.SOURCE, lambda tree: tree.iio(0, "it", "1-0076", {"in_temp_input": "1"})),
    "ina219": plugged("ina219", lambda bench: Ina219(Ina219Settings(), "main", bench)),
    "ina226": plugged("ina226", lambda bench: Ina226(Ina226Settings(), "main", bench)),
    "lm75": plugged("lm75", lambda bench: Lm75(Lm75Settings(), "main", bench)),
    "max31855": plugged("max31855", lambda bench: Max31855(Max31855Settings(), "spi", bench)),
    "max31865": plugged("max31865", lambda bench: Max31865(Max31865Settings(), "spi", bench)),
    "max6675": plugged("max6675", lambda bench: Max6675(Max6675Settings(), "spi", bench)),
    "mcp23017": plugged(
        "mcp23017",
        lambda bench: Mcp23017(Mcp23017Settings(inputs=[Mcp23017Input(name="door", pin="A0")]), "main", bench),
    ),
    "mcp3008": plugged(
        "mcp3008",
        lambda bench: Mcp3008(Mcp3008Settings(channels=[Mcp3008Channel(input="0", name="level")]), "spi", bench),
    ),
    "mcp9808": plugged("mcp9808", lambda bench: Mcp9808(Mcp9808Settings(), "main", bench)),
    "modbus": modbus,
    "mpu6050": plugged("mpu6050", lambda bench: Mpu6050(Mpu6050Settings(fifo_rate_hz=100), "main", bench)),
    "pms5003": pms5003,
    "pulse_counter": on_gpio(lambda bench: PulseCounter(PulseCounterSettings(line="17"), "pins", bench)),
    "pwm_output": pwm,
    "replay": replay,
    "scd4x": plugged("scd4x", lambda bench: Scd4x(Scd4xSettings(), "main", bench, bench.clock)),
    "sgp40": plugged("sgp40", lambda bench: Sgp40(Sgp40Settings(), "main", bench, bench.clock)),
    "sht3x": plugged("sht3x", lambda bench: Sht3x(Sht3xSettings(), "main", bench, bench.clock)),
    "sht4x": plugged("sht4x", lambda bench: Sht4x(Sht4xSettings(), "main", bench, bench.clock)),
    "si7021": plugged("si7021", lambda bench: Si7021(Si7021Settings(), "main", bench)),
    "thermal": kernel(thermal.SOURCE, lambda tree: tree.thermal(0, "it", "1")),
    "tmp102": plugged("tmp102", lambda bench: Tmp102(Tmp102Settings(), "main", bench)),
    "tmp117": plugged("tmp117", lambda bench: Tmp117(Tmp117Settings(), "main", bench)),
    "veml7700": plugged("veml7700", lambda bench: Veml7700(Veml7700Settings(), "main", bench)),
    "vl53l0x": plugged("vl53l0x", lambda bench: Vl53l0x(Vl53l0xSettings(), "main", bench)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return CASES[request.param](tmp_path)


def test_every_registered_driver_stands_here() -> None:
    assert set(CASES) == set(registry.DRIVERS)


def test_gives_readings_that_a_batch_takes(case: Case) -> None:
    finish(case.driver.start(), case.sleep)
    readings = finish(case.driver.read(), case.sleep)
    assert readings
    assert Batcher(BatchSettings(), bytes(16)).add("sensor", readings, 10**9, 10**9) == []
    case.driver.close()


def test_building_does_no_io(case: Case) -> None:
    case.take_away()
    assert case.driver.close() is None  # type: ignore[func-returns-value]


def test_start_says_what_is_missing_and_works_when_it_is_back(case: Case) -> None:
    case.take_away()
    with pytest.raises((BusError, SensorError)):
        finish(case.driver.start(), case.sleep)
    case.give_back()
    finish(case.driver.start(), case.sleep)
    assert finish(case.driver.read(), case.sleep)


def test_starts_again_after_a_failure(case: Case) -> None:
    finish(case.driver.start(), case.sleep)
    case.take_away()
    with pytest.raises((BusError, SensorError)):
        finish(case.driver.start(), case.sleep)
    case.give_back()
    finish(case.driver.start(), case.sleep)
    assert finish(case.driver.read(), case.sleep)


def test_reading_before_the_start_is_an_error_or_nothing(case: Case) -> None:
    try:
        assert not finish(case.driver.read(), case.sleep)
    except SensorError as error:
        assert "not started" in str(error)  # noqa: PT017


def test_closing_never_raises(case: Case) -> None:
    finish(case.driver.start(), case.sleep)
    case.take_away()
    case.driver.close()
