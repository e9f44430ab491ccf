"""The replay driver: pace, times, gaps and what is wrong in a file."""

import os
import tracemalloc
from datetime import UTC, datetime
from itertools import pairwise
from math import isnan
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wayside_edge.drivers.replay import Replay, ReplaySettings
from wayside_edge.drivers.replay.recording import rows, time_parser
from wayside_edge.drivers.replay.settings import ReplayColumn, Times
from wayside_edge.errors import BusError, OutboxError, SensorError
from wayside_edge.ports import Reading

SECOND = 10**9


class Pace:
    def __init__(self) -> None:
        self.now_ns = 7 * SECOND

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def pace() -> Pace:
    return Pace()


def recording(tmp_path: Path, text: str, **options: object) -> ReplaySettings:
    file = tmp_path / "recording.csv"
    file.write_text(text)
    columns = [ReplayColumn(column="v", name="value", unit="Cel")]
    return ReplaySettings(**{"file": file, "time_column": "t", "columns": columns, "time_format": "unix_s", **options})


def started(settings: ReplaySettings, pace: Pace) -> Replay:
    driver = Replay(settings, pace)
    driver.start()
    return driver


def pairs(driver: Replay) -> list[tuple[int | None, object]]:
    return [(None if r.time_ns is None else r.time_ns // SECOND, r.value) for r in driver.read()]


def test_plays_at_the_pace_of_the_recording(tmp_path: Path, pace: Pace) -> None:
    driver = started(recording(tmp_path, "t,v\n1000,1\n1001,2\n1004,3\n"), pace)
    assert pairs(driver) == [(1000, 1.0)]
    pace.now_ns += SECOND - 1
    assert pairs(driver) == []
    pace.now_ns += 1
    assert pairs(driver) == [(1001, 2.0)]
    pace.now_ns += 100 * SECOND
    assert pairs(driver) == [(1004, 3.0)]
    assert pairs(driver) == []


def test_plays_faster_on_demand(tmp_path: Path, pace: Pace) -> None:
    driver = started(recording(tmp_path, "t,v\n1000,1\n1060,2\n1120,3\n", speed=60.0), pace)
    pace_reads = []
    for _ in range(3):
        pace_reads.append(pairs(driver))
        pace.now_ns += SECOND
    assert pace_reads == [[(1000, 1.0)], [(1060, 2.0)], [(1120, 3.0)]]


def test_live_times_come_one_row_a_read(tmp_path: Path, pace: Pace) -> None:
    driver = started(recording(tmp_path, "t,v\n1000,1\n1001,2\n", times=Times.NOW, speed=1e6), pace)
    assert pairs(driver) == [(None, 1.0)]
    pace.now_ns += SECOND
    assert [pairs(driver) for _ in range(2)] == [[(None, 2.0)], []]


def test_a_loop_goes_on_in_time(tmp_path: Path, pace: Pace) -> None:
    driver = started(recording(tmp_path, "t,v\n1000,1\n1010,2\n", loop=True, speed=10.0), pace)
    found = []
    for _ in range(5):
        found += pairs(driver)
        pace.now_ns += SECOND
    assert found == [(1000, 1.0), (1010, 2.0), (1020, 1.0), (1030, 2.0), (1040, 1.0)]


def test_an_empty_cell_is_a_gap_and_nonsense_is_nan(tmp_path: Path, pace: Pace) -> None:
    driver = started(recording(tmp_path, "t,v\n1000,\n1000,x\nlater,3\n1000,4\n"), pace)
    first, second, third = driver.read()
    assert isnan(float(first.value))
    assert isnan(float(second.value))
    assert second.time_ns is None
    assert third == Reading("value", 4.0, "Cel", time_ns=1000 * SECOND)


def test_a_failure_in_the_middle_loses_no_row(tmp_path: Path, pace: Pace) -> None:
    settings = recording(tmp_path, "t,v\n1000,1\n1000,2\n1000,3\n")
    good = settings.file.read_bytes()
    # The reader takes blocks of 8 KiB: what is broken must lie behind the first.
    filler = b"".join(b"1000,%d\n" % i for i in range(4, 4000))
    settings.file.write_bytes(good + filler + b"1000,\xff\n")
    driver = started(settings, pace)
    found = [value for _, value in pairs(driver)]
    with pytest.raises(SensorError, match="no CSV file in UTF-8"):
        driver.read()
    settings.file.write_bytes(good + filler + b"1000,4000\n")
    driver.start()
    found += [value for _, value in pairs(driver)]
    assert found == [float(i) for i in range(1, 4001)]


@pytest.mark.parametrize(
    ("text", "message"),
    [("t,w\n1,2\n", "has no column 'v'; it has t, w"), ("t,v\n", "holds no rows"), ("", "no column")],
)
def test_what_is_wrong_with_a_file_is_said_at_the_start(tmp_path: Path, pace: Pace, text: str, message: str) -> None:
    with pytest.raises(SensorError, match=message):
        started(recording(tmp_path, text), pace)


def test_a_missing_file_is_a_bus_error(tmp_path: Path, pace: Pace) -> None:
    settings = recording(tmp_path, "t,v\n1,2\n")
    settings.file.unlink()
    with pytest.raises(BusError, match="correct 'file'"):
        started(settings, pace)


@pytest.mark.parametrize(
    ("pattern", "zone", "text", "expected"),
    [
        ("iso", "UTC", "2015-02-02 14:19:00", "2015-02-02T14:19:00+00:00"),
        ("iso", "Europe/Brussels", "2015-02-02 14:19:00", "2015-02-02T13:19:00+00:00"),
        ("iso", "Europe/Brussels", "2015-07-02 14:19:00", "2015-07-02T12:19:00+00:00"),
        ("iso", "Europe/Brussels", "2015-07-02T14:19:00Z", "2015-07-02T14:19:00+00:00"),
        ("iso", "Europe/Brussels", "2015-10-25 02:30:00", "2015-10-25T00:30:00+00:00"),
        ("%d.%m.%Y %H:%M", "Asia/Kolkata", "02.02.2015 05:30", "2015-02-02T00:00:00+00:00"),
        ("unix_ms", "UTC", "1422886740000", "2015-02-02T14:19:00+00:00"),
        ("unix_s", "UTC", "1422886740.5", "2015-02-02T14:19:00.500000+00:00"),
    ],
)
def test_times(pattern: str, zone: str, text: str, expected: str) -> None:
    time_ns = time_parser(pattern, ZoneInfo(zone))(text)
    assert datetime.fromtimestamp(time_ns / SECOND, UTC).isoformat() == expected


def test_settings_refuse_an_unknown_zone() -> None:
    column = ReplayColumn(column="v", name="v", unit="1")
    with pytest.raises(ValueError, match="no such time zone"):
        ReplaySettings(file=Path("x"), time_column="t", columns=[column], zone="Europe/Bruessel")


def test_memory_stays_small_however_long_the_file(tmp_path: Path, pace: Pace) -> None:
    settings = recording(tmp_path, "t,v\n" + "".join(f"{1000 + i},{i}\n" for i in range(60_000)), speed=1e9)
    driver = started(settings, pace)
    driver.read()
    pace.now_ns += SECOND
    tracemalloc.start()
    try:
        count = sum(len(driver.read()) for _ in range(15))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count >= 59_000
    assert peak < 3_000_000


def data(name: str) -> Path:
    folder = Path(os.environ.get("WAYSIDE_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    if not (folder / name).exists():
        pytest.skip(f"{folder / name} is not here; set WAYSIDE_TEST_DATA to the folder of recorded data")
    return folder / name


OFFICE = {
    "Temperature": "Cel",
    "Humidity": "%",
    "Light": "lx",
    "CO2": "[ppm]",
    "HumidityRatio": "kg/kg",
    "Occupancy": "1",
}


@pytest.mark.parametrize(("name", "count"), [("office-2015-02-02.csv", 2665), ("office-2015-02-04.csv", 8143)])
def test_the_office_recordings(name: str, count: int, pace: Pace) -> None:
    columns = [ReplayColumn(column=column, name=column.lower(), unit=unit) for column, unit in OFFICE.items()]
    settings = ReplaySettings(
        file=data(f"office/{name}"), time_column="date", zone="Europe/Brussels", columns=columns, speed=1e9
    )
    found = list(rows(settings))
    assert len(found) == count
    assert all(row.time_ns is not None and all(v is not None and not isnan(v) for v in row.values) for row in found)
    times = [row.time_ns for row in found if row.time_ns is not None]
    assert all(59 * SECOND <= b - a <= 61 * SECOND for a, b in pairwise(times))


def test_the_machine_recording(pace: Pace) -> None:
    columns = [ReplayColumn(column="value", name="temperature", unit="Cel", decimals=3)]
    settings = ReplaySettings(
        file=data("machine/machine_temperature.csv"), time_column="timestamp", columns=columns, speed=1e9
    )
    driver = started(settings, pace)
    first = driver.read()
    pace.now_ns += SECOND
    assert len(first) + sum(len(driver.read()) for _ in range(6)) == 22_695
    assert first[0].time_ns == int(datetime(2013, 12, 2, 21, 15, tzinfo=UTC).timestamp()) * SECOND


def resumed(settings: ReplaySettings, pace: Pace, **accepted_s: int) -> Replay:
    driver = Replay(settings, pace)
    driver.resume_after(lambda: {name: at * SECOND for name, at in accepted_s.items()})
    driver.start()
    return driver


def test_a_recording_goes_on_behind_what_was_accepted_and_at_its_pace(tmp_path: Path, pace: Pace) -> None:
    driver = resumed(recording(tmp_path, "t,v\n1000,1\n1001,2\nx,9\n1002,3\n1005,4\n"), pace, value=1001)
    assert pairs(driver) == [(1002, 3.0)]
    pace.now_ns += 2 * SECOND
    assert pairs(driver) == []
    pace.now_ns += 1 * SECOND
    assert pairs(driver) == [(1005, 4.0)]


def test_a_row_of_which_half_was_accepted_gives_the_other_half(tmp_path: Path, pace: Pace) -> None:
    columns = [ReplayColumn(column=name, name=name, unit="Cel") for name in ("a", "b")]
    settings = recording(tmp_path, "t,a,b\n1000,1,2\n1001,3,4\n1001.5,5,6\n", columns=columns, speed=1e9)
    driver = resumed(settings, pace, a=1001, b=1000)
    assert [(reading.name, reading.value) for reading in driver.read()] == [("b", 4.0)]
    pace.now_ns += SECOND
    assert [(reading.name, reading.value) for reading in driver.read()] == [("a", 5.0), ("b", 6.0)]


def test_a_loop_is_resumed_in_the_round_where_it_was(tmp_path: Path, pace: Pace) -> None:
    settings = recording(tmp_path, "t,v\n1000,1\n1001,2\n1002,3\n", loop=True)
    driver = resumed(settings, pace, value=1000 + 3 * 5_000_000 + 1)
    assert pairs(driver) == [(15_001_002, 3.0)]
    pace.now_ns += SECOND
    assert pairs(driver) == [(15_001_003, 1.0)]


def test_a_recording_waits_for_the_outbox_that_knows_where_it_was(tmp_path: Path, pace: Pace) -> None:
    def accepted() -> dict[str, int]:
        raise OutboxError("the disk is away")

    driver = Replay(recording(tmp_path, "t,v\n1000,1\n"), pace)
    driver.resume_after(accepted)
    with pytest.raises(SensorError, match="the disk is away"):
        driver.start()


def test_what_is_played_as_measured_now_is_not_resumed(tmp_path: Path, pace: Pace) -> None:
    driver = resumed(recording(tmp_path, "t,v\n1000,1\n", times=Times.NOW), pace, value=5000)
    assert pairs(driver) == [(None, 1.0)]
