"""The BME280 driver against the simulated chip: modes, states and mistakes."""

import pytest

from wayside_edge.drivers.bme280 import Bme280, Bme280Settings
from wayside_edge.drivers.bme280.settings import FILTERS, OVERSAMPLING, STANDBY_MS, Mode
from wayside_edge.errors import DeviceAbsentError, SensorError
from wayside_firmware.board.air import State
from wayside_firmware.board.chip import Fault
from wayside_testkit.sensing import Board, finish

AIR = State(celsius=21.37, pascal=98_765.4, percent=43.21)


@pytest.fixture
def board() -> Board:
    return Board(AIR)


def started(board: Board, settings: Bme280Settings | None = None) -> Bme280:
    driver = Bme280(settings or Bme280Settings(), "main", board)
    board.finish(driver.start())
    return driver


def measured(board: Board, settings: Bme280Settings) -> dict[str, float]:
    return values(board, started(board, settings))


def values(board: Board, driver: Bme280) -> dict[str, float]:
    return {reading.name: float(reading.value or 0) for reading in board.finish(driver.read())}


def test_forced_mode_measures_what_is_there(board: Board) -> None:
    found = values(board, started(board))
    assert found["temperature"] == pytest.approx(21.37, abs=0.011)
    assert found["pressure"] == pytest.approx(987.654, abs=0.03)
    assert found["humidity"] == pytest.approx(43.21, abs=0.02)


def test_forced_mode_sees_each_change(board: Board) -> None:
    driver = started(board)
    values(board, driver)
    board.state = State(-11.0, 70_000.0, 88.0)
    assert values(board, driver)["temperature"] == pytest.approx(-11.0, abs=0.011)


def test_forced_mode_takes_no_longer_than_the_data_sheet_allows(board: Board) -> None:
    driver = started(board)
    before_s = board.clock.now_s
    board.finish(driver.read())
    assert board.clock.now_s - before_s == pytest.approx(0.0093, abs=1e-4)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("times", OVERSAMPLING[1:])
def test_every_oversampling_in_every_mode(board: Board, mode: Mode, times: int) -> None:
    settings = Bme280Settings(
        mode=mode, temperature_oversampling=times, pressure_oversampling=times, humidity_oversampling=times
    )
    found = values(board, started(board, settings))
    assert found["temperature"] == pytest.approx(21.37, abs=0.011)
    assert found["pressure"] == pytest.approx(987.654, abs=0.03)


@pytest.mark.parametrize(("quantity", "left"), [("pressure", "humidity"), ("humidity", "pressure")])
def test_what_is_not_sampled_is_left_out(board: Board, quantity: str, left: str) -> None:
    found = values(board, started(board, Bme280Settings(**{f"{quantity}_oversampling": 0})))
    assert set(found) == {"temperature", left}


@pytest.mark.parametrize("standby_ms", STANDBY_MS)
def test_normal_mode_follows_without_being_asked(board: Board, standby_ms: float) -> None:
    driver = started(board, Bme280Settings(mode=Mode.NORMAL, standby_ms=standby_ms))
    board.state = State(30.0, 95_000.0, 20.0)
    board.clock.sleep(1.1)
    before = board.bus.transactions
    assert values(board, driver)["temperature"] == pytest.approx(30.0, abs=0.011)
    assert board.bus.transactions == before + 1


@pytest.mark.parametrize("coefficient", FILTERS[1:])
def test_the_filter_smooths_a_step(board: Board, coefficient: int) -> None:
    driver = started(board, Bme280Settings(filter=coefficient))
    values(board, driver)
    board.state = State(31.37, 98_765.4, 43.21)
    share = (values(board, driver)["temperature"] - 21.37) / 10.0
    assert share == pytest.approx(1 / coefficient, abs=0.01)


def test_closing_puts_a_measuring_chip_to_sleep(board: Board) -> None:
    started(board, Bme280Settings(mode=Mode.NORMAL)).close()
    assert board.i2c("main").write_read(0x76, b"\xf4", 1)[0] & 3 == 0


def test_a_dip_of_the_supply_is_noticed_and_start_mends_it(board: Board) -> None:
    for mode in Mode:
        driver = started(board, Bme280Settings(mode=mode, filter=4))
        board.chip.power_cycle()
        board.clock.sleep(0.01)
        with pytest.raises(SensorError, match="lost its settings"):
            board.finish(driver.read())
        board.finish(driver.start())
        assert values(board, driver)["temperature"] == pytest.approx(21.37, abs=0.011)


def test_a_chip_that_never_measured_is_not_believed(board: Board) -> None:
    driver = Bme280(Bme280Settings(mode=Mode.NORMAL), "main", board)
    finish(driver.start(), lambda seconds: board.clock.sleep(min(seconds, 0.002)))
    with pytest.raises(SensorError, match="no measurement since its reset"):
        board.finish(driver.read())


def test_a_chip_that_does_not_come_up_is_given_up(board: Board) -> None:
    with pytest.raises(SensorError, match="did not finish its start"):
        finish(Bme280(Bme280Settings(), "main", board).start(), lambda _seconds: None)


def test_a_bmp280_is_named(board: Board) -> None:
    board.bus.set_fault(0x76, Fault.WRONG_IDENTITY)
    with pytest.raises(SensorError, match=r"0x76: the chip is a BMP280 \(identity 0x58\), which has no humidity"):
        started(board)


def test_a_chip_that_is_swapped_brings_its_own_calibration(board: Board) -> None:
    driver = started(board)
    board.bus.set_fault(0x76, Fault.ABSENT)
    with pytest.raises(DeviceAbsentError):
        board.finish(driver.read())
    other = Board(AIR, address=0x76)
    board.bus = other.bus
    board.clock = other.clock
    driver = started(board)
    assert values(board, driver)["humidity"] == pytest.approx(43.21, abs=0.02)


@pytest.mark.parametrize("celsius", [26.0 + step / 200 for step in range(200)])
def test_no_temperature_is_taken_for_a_missing_one(celsius: float) -> None:
    board = Board(State(celsius, 100_000.0, 50.0))
    assert values(board, started(board))["temperature"] == pytest.approx(celsius, abs=0.011)


@pytest.mark.parametrize("state", [State(-40.0, 30_000.0, 0.0), State(85.0, 110_000.0, 100.0)])
def test_the_ends_of_the_range(state: State) -> None:
    found = measured(Board(state), Bme280Settings(pressure_oversampling=16, temperature_oversampling=16))
    assert found["temperature"] == pytest.approx(state.celsius, abs=0.011)
    assert found["pressure"] == pytest.approx(state.pascal / 100, abs=0.05)
    assert 0.0 <= found["humidity"] <= 100.0


def test_settings_refuse_another_address() -> None:
    with pytest.raises(ValueError, match="0x70"):
        Bme280Settings(address=0x70)
