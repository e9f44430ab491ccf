"""The modules that come with Wayside, in the real worker, against the same mathematics in Python."""

import math
import random
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from wayside_edge import config
from wayside_edge.compute.settings import StageKind
from wayside_edge.config import parse
from wayside_firmware.modules import library
from wayside_firmware.modules.toolchain import build
from wayside_shared.cbor import dumps, loads_map
from wayside_shared.quality import FIRST_ABSENT, Quality
from wayside_shared.stage_block import Block, BlockReading, BlockSeries
from wayside_shared.stage_worker import Done, Failed, Failure, Limits, Process
from wayside_testkit.stage import Worker, load, processed

LIBRARY = Path(library.__file__).parent
BUILT_WITH = "14.0.6"
"""The compiler of the committed files: another gives other bytes of the same meaning."""
NS = 10**9
Settings = Mapping[str, str | int | float | bool]


def _file(name: str) -> Path:
    return LIBRARY / name / f"{name}.wasm"


@contextmanager
def _stage(name: str, settings: Settings | None = None, state: bytes | None = None) -> Iterator[Worker]:
    with Worker() as worker:
        done = worker.ask(load(_file(name), limits=Limits(), settings=settings, state=state))
        assert isinstance(done, Done), done
        yield worker


def _series(found: Block) -> dict[str, list[tuple[int, float | None, int]]]:
    """Time, value and quality of what came out, by name and unit."""
    rows: dict[str, list[tuple[int, float | None, int]]] = {}
    for each in found.readings:
        name = "{} {}".format(*found.series[each.series])
        value = None if each.quality >= FIRST_ABSENT else each.value
        rows.setdefault(name, []).append((each.time_ns, value, each.quality))
    return rows


@pytest.mark.parametrize("name", ["energy", "humid_air", "vibration"])
def test_the_committed_file_is_what_the_source_gives(name: str, tmp_path: Path) -> None:
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        pytest.skip("clang and lld are not installed")
    version = subprocess.run([clang, "--version"], check=True, capture_output=True, text=True).stdout
    if f"version {BUILT_WITH}" not in version:
        pytest.skip(f"another clang than {BUILT_WITH}")
    built = build(LIBRARY / name, tmp_path / "built.wasm")
    assert built.read_bytes() == _file(name).read_bytes(), f"type: wayside-fw module build {LIBRARY / name}"
    assert len(built.read_bytes()) < 16 * 1024


def _power(*readings: tuple[float, float | None, int]) -> Block:
    """Seconds, watts and quality of one series."""
    rows = [BlockReading(round(s * NS), math.nan if w is None else w, 0, q) for s, w, q in readings]
    return Block([BlockSeries("pump.power", "W")], rows)


ENERGY = "pump.power.energy W.h"


def test_energy_is_the_integral_of_power() -> None:
    source = random.Random(3)
    times = sorted(source.uniform(0, 600) for _ in range(300))
    powers = [source.uniform(-5, 50) for _ in times]
    expected, total = [0.0], 0.0
    for (a, p), (b, q) in zip(zip(times, powers, strict=True), list(zip(times, powers, strict=True))[1:], strict=False):
        total += (round(b * NS) - round(a * NS)) / NS * (p + q) / 2 / 3600
        expected.append(total)
    with _stage("energy") as worker:
        found: list[tuple[int, float | None, int]] = []
        for begin in range(0, 300, 60):
            rows = [(times[i], powers[i], 0) for i in range(begin, begin + 60)]
            found += _series(processed(worker, _power(*rows))[1])[ENERGY]
    assert [value for _, value, _ in found] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert [time for time, _, _ in found] == [round(each * NS) for each in times]
    assert {quality for _, _, quality in found} == {0}


def test_gaps_are_not_bridged_and_marked() -> None:
    given = _power((0, 3600, 0), (10, 3600, 0), (20, None, 64), (30, 3600, 2), (91, 3600, 0), (81, 7200, 0), (82, 0, 0))
    with _stage("energy") as worker:
        found = _series(processed(worker, given)[1])[ENERGY]
    assert [value for _, value, _ in found] == pytest.approx([0, 10, None, 30, 30, 30, 31])
    partial = Quality.PARTIAL
    # The step backwards is one that a restarted clock makes.
    assert [quality for *_, quality in found] == [0, 0, 64, Quality.UNSTABLE, partial, partial, 0]
    with _stage("energy", {"max_gap_s": 61.000000000000007}) as worker:
        assert _series(processed(worker, given)[1])[ENERGY][4][1] == pytest.approx(91)


def test_energy_goes_on_after_a_restart_and_skips_a_reboot() -> None:
    with _stage("energy") as worker:
        done, _ = processed(worker, _power((0, 3600, 0), (10, 3600, 0)))
    with _stage("energy", state=done.state) as worker:
        found = _series(processed(worker, _power((20, 3600, 0)))[1])[ENERGY]
    assert found == [(20 * NS, pytest.approx(20), 0)]
    assert done.state is not None
    states = {**loads_map(done.state), "boot_id": b"another"}
    with _stage("energy", state=dumps(states)) as worker:
        found = _series(processed(worker, _power((20, 3600, 0), (21, 3600, 0)))[1])[ENERGY]
    assert found == [(20 * NS, pytest.approx(10), Quality.PARTIAL), (21 * NS, pytest.approx(11), 0)]


def test_energy_of_several_series_and_of_what_is_no_power() -> None:
    series = [BlockSeries("a.power", "W"), BlockSeries("a.voltage", "V"), BlockSeries("b.power", "W")]
    rows = [BlockReading(s * NS, 3600.0 * (which + 1), which) for s in (0, 1) for which in range(3)]
    with _stage("energy") as worker:
        done, out = processed(worker, Block(series, rows))
    found = {name: rows[-1][1] for name, rows in _series(out).items()}
    assert found == {"a.power.energy W.h": pytest.approx(1), "b.power.energy W.h": pytest.approx(3)}
    assert done.log == ((30, "a series that is not in W gives no energy"),)


@pytest.mark.parametrize("settings", [{"max_gap": 5}, {"max_gap_s": "soon"}, {"max_gap_s": 0}, {"max_gap_s": -1}])
def test_wrong_settings_of_energy_are_refused_with_their_name(settings: Settings) -> None:
    with Worker() as worker:
        answer = worker.ask(load(_file("energy"), settings=settings))
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.REFUSED
    assert "max_gap_s" in answer.detail


def test_more_series_than_there_is_room_for_are_refused() -> None:
    series = [BlockSeries(f"s{place}.power", "W") for place in range(65)]
    with Worker() as worker:
        worker.ask(load(_file("energy")))
        worker_said = processed(worker, Block(series[:64], []))
        assert worker_said[1].readings == []
    with Worker() as worker:
        worker.ask(load(_file("energy")))
        answer = worker.ask(Process(Block(series, []).encode()))
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.REFUSED
    assert "at most 64 series" in answer.detail


def _air(cel: float, percent: float) -> tuple[float, float]:
    """Dew point and absolute humidity, WMO-No. 8 (2018), annex 4.B, and the ideal gas."""
    e_hpa = percent / 100 * 6.112 * math.exp(17.62 * cel / (243.12 + cel))
    x = math.log(e_hpa / 6.112)
    return 243.12 * x / (17.62 - x), e_hpa * 100 * 18.01528 / 8.314462618 / (cel + 273.15)


def _pairs(*pairs: tuple[float, float], seconds: float = 0, qualities: tuple[int, int] = (0, 0)) -> Block:
    series = [BlockSeries("room.temperature", "Cel"), BlockSeries("room.humidity", "%")]
    rows = []
    for place, pair in enumerate(pairs):
        at_ns = round((seconds + place) * NS)
        rows += [BlockReading(at_ns, pair[which], which, qualities[which]) for which in (0, 1)]
    return Block(series, rows)


def test_dew_point_and_absolute_humidity_over_the_whole_range() -> None:
    pairs = [(cel, percent) for cel in range(-45, 61, 5) for percent in (0.1, 1, 20, 50, 80, 99.9, 100)]
    with _stage("humid_air") as worker:
        found = _series(processed(worker, _pairs(*pairs))[1])
    dew, absolute = found["room.dew_point Cel"], found["room.absolute_humidity g/m3"]
    assert [value for _, value, _ in dew] == pytest.approx([_air(*pair)[0] for pair in pairs], rel=1e-12, abs=1e-10)
    assert [value for _, value, _ in absolute] == pytest.approx([_air(*pair)[1] for pair in pairs], rel=1e-13)
    # Printed tables of absolute humidity: 17.3 g/m3 at saturation and 20 Cel, 30.4 at 30, 4.85 at 0.
    printed = {20: 17.3, 30: 30.4, 0: 4.85}
    shown = {pair[0]: value for pair, (_, value, _) in zip(pairs, absolute, strict=True) if pair[1] == 100}
    assert {cel: shown[cel] for cel in printed} == {
        cel: pytest.approx(value, rel=5e-3) for cel, value in printed.items()
    }


def test_air_out_of_range_and_bad_readings_have_no_value() -> None:
    pairs = [(20, 0), (20, 100.5), (-46, 50), (61, 50)]
    with _stage("humid_air") as worker:
        found = _series(processed(worker, _pairs(*pairs))[1])
        rows = found["room.dew_point Cel"] + found["room.absolute_humidity g/m3"]
        assert rows == [(second * NS, None, Quality.OUT_OF_RANGE) for second in (*range(4), *range(4))]
        absent = _pairs((20, math.nan), seconds=10, qualities=(0, Quality.BUS_FAULT))
        found = _series(processed(worker, absent)[1])
        assert found["room.dew_point Cel"] == [(10 * NS, None, Quality.BUS_FAULT)]
        unstable = _pairs((20, 50), seconds=20, qualities=(Quality.UNSTABLE, 0))
        ((_, value, quality),) = _series(processed(worker, unstable)[1])["room.dew_point Cel"]
        assert (value, quality) == (pytest.approx(_air(20, 50)[0]), Quality.UNSTABLE)


def test_halves_of_a_pair_meet_in_any_order_and_over_blocks() -> None:
    series = [BlockSeries("room.temperature", "Cel"), BlockSeries("room.humidity", "%")]
    halves = [BlockReading(second * NS, 20.0 + second, 0) for second in range(60)]
    others = [BlockReading(second * NS, 50.0, 1) for second in range(60) if second != 7]
    with _stage("humid_air") as worker:
        done, found = processed(worker, Block(series, halves + others))
        assert len(found.readings) == 2 * 59
        assert done.log == ((30, "a temperature or a humidity had no partner of the same sensor and time"),)
        assert processed(worker, Block(series[:1], [BlockReading(99 * NS, 20.0, 0)]))[1].readings == []
        _, found = processed(worker, Block(series[1:], [BlockReading(99 * NS, 50.0, 0)]))
    assert _series(found)["room.dew_point Cel"] == [(99 * NS, pytest.approx(_air(20, 50)[0]), 0)]


def _burst(begin_s: float, values: Mapping[str, list[float]], rate_hz: int = 100) -> Block:
    names = list(values)
    rows = []
    for place, name in enumerate(names):
        for step, value in enumerate(values[name]):
            rows.append(BlockReading(round((begin_s + step / rate_hz) * NS), value, place))
    return Block([BlockSeries(f"pump.acceleration_{name}", "m/s2") for name in names], rows)


def _shaken(seed: int, count: int = 500) -> list[float]:
    source = random.Random(seed)
    return [9.81 + 2 * math.sin(step / 7) + source.gauss(0, 0.3) for step in range(count)]


def test_rms_and_peak_are_about_the_mean_of_a_block() -> None:
    values = {"x": _shaken(1), "z": _shaken(2)}
    with _stage("vibration") as worker:
        done, found = processed(worker, _burst(3, values))
    rows = _series(found)
    assert done.state is None
    for axis, given in values.items():
        name = f"pump.acceleration_{axis}"
        ((at_ns, rms, quality),) = rows[f"{name}.rms m/s2"]
        ((_, peak, _),) = rows[f"{name}.peak m/s2"]
        assert (at_ns, quality) == (round((3 + 499 / 100) * NS), 0)
        assert rms == pytest.approx(pstdev(given), rel=1e-12)
        assert peak == pytest.approx(max(abs(value - fmean(given)) for value in given), rel=1e-12)


def test_windows_go_over_blocks_and_restarts() -> None:
    given = _shaken(5, 1000)
    settings = {"window_s": 2}
    found: list[tuple[int, float | None, int]] = []
    state = None
    for part in range(4):
        with _stage("vibration", settings, state) as worker:
            block = _burst(part * 2.5, {"x": given[part * 250 : part * 250 + 250]})
            done, out = processed(worker, block)
            state = done.state
            found += _series(out).get("pump.acceleration_x.rms m/s2", [])
    windows = [given[begin : begin + 200] for begin in range(0, 800, 200)]
    assert [value for _, value, _ in found] == pytest.approx([pstdev(window) for window in windows], rel=1e-12)
    assert [at_ns for at_ns, _, _ in found] == [round((last - 0.01) * NS) for last in (2, 4, 6, 8)]


def test_bad_readings_of_a_burst_show_in_its_quality() -> None:
    given = _burst(0, {"x": [1.0, 3.0, 5.0]})
    series = given.series
    absent = [*given.readings, BlockReading(NS, math.nan, 0, Quality.OVERRUN + 64)]
    clipped = [given.readings[0], given.readings[1]._replace(quality=Quality.CLIPPED), given.readings[2]]
    with _stage("vibration") as worker:
        rows = _series(processed(worker, Block(series, absent))[1])
        assert rows["pump.acceleration_x.peak m/s2"] == [(NS, 2.0, Quality.PARTIAL)]
        rows = _series(processed(worker, Block(series, clipped))[1])
        assert rows["pump.acceleration_x.peak m/s2"] == [(given.readings[2].time_ns, 2.0, Quality.CLIPPED)]
        rows = _series(processed(worker, Block(series, given.readings[:1]))[1])
        assert rows["pump.acceleration_x.rms m/s2"] == [(0, None, Quality.INVALID)]


def test_the_stage_of_the_sample_configuration_works_with_the_module_that_it_names() -> None:
    sample = config.sample()
    # Settings that the sample shows with their defaults are comments in a comment.
    shown = re.sub(r"(?m)^(# )+(?=\[\[stage|\w+ = )", "", sample[sample.index("# [[stage]]") :])
    (stage,) = parse(sample[: sample.index("# [[stage]]")] + shown, "sample").stage
    assert stage.kind is StageKind.WASM
    given = Block(
        [BlockSeries(name, unit) for name, unit in zip(stage.inputs, ("Cel", "%"), strict=True)],
        [BlockReading(NS, 20.0, 0, 0), BlockReading(NS, 50.0, 1, 0)],
    )
    with _stage(stage.file.stem, stage.settings.values) as worker:
        assert len(processed(worker, given)[1].readings) == 2


def test_the_settings_that_the_sample_configuration_names_are_taken() -> None:
    named = re.search(r"(\w+) takes \{(\w+) = (\d+)\}", config.sample())
    assert named is not None
    with _stage(named[1], {named[2]: int(named[3])}):
        pass
