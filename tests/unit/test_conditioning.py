"""Readings on their way to a batch: corrected, converted, gathered, left out when nothing changed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wayside_edge.config import parse
from wayside_edge.errors import ConfigError
from wayside_edge.pipeline.conditioning import Conditioner
from wayside_edge.pipeline.settings import ReadingSettings, Statistic
from wayside_edge.pipeline.units import _SCALES, conversion
from wayside_edge.ports import Reading
from wayside_shared.quality import Quality
from wayside_shared.units import check_unit

SECOND = 10**9


def reading(value: float | bool | str | None, quality: Quality = Quality.GOOD, *, decimals: int | None = 2) -> Reading:
    return Reading("t", value, "Cel", decimals=decimals, quality=quality)


def conditioner(**settings: Any) -> Conditioner:
    return Conditioner([ReadingSettings(name="t", **settings)])


def one(made: Conditioner, value: float | None, at_s: float = 1.0) -> Reading:
    (sent,) = made.apply([reading(value)], round(at_s * SECOND), round(at_s * SECOND))
    return sent


def test_what_is_not_named_passes_untouched() -> None:
    given_readings = [Reading("other", 1.0, "V")]
    assert conditioner(offset=1.0).apply(given_readings, 0, 0) == given_readings
    assert Conditioner(()).apply(given_readings, 0, 0) is given_readings


@pytest.mark.parametrize(
    ("settings", "given_value", "expected"),
    [
        ({"offset": -0.5}, 20.0, 19.5),
        ({"scale": 2.0, "offset": 1.0}, 20.0, 41.0),
        ({"polynomial": [1.0, 0.5, 0.25]}, 2.0, 3.0),
        ({"table_read": [0.0, 10.0, 20.0], "table_true": [1.0, 11.0, 31.0]}, 5.0, 6.0),
        ({"table_read": [0.0, 10.0, 20.0], "table_true": [1.0, 11.0, 31.0]}, 15.0, 21.0),
        ({"table_read": [0.0, 10.0, 20.0], "table_true": [1.0, 11.0, 31.0]}, -10.0, -9.0),
        ({"table_read": [0.0, 10.0, 20.0], "table_true": [1.0, 11.0, 31.0]}, 30.0, 51.0),
        ({"table_read": [0.0, 10.0], "table_true": [0.0, 20.0], "scale": 0.5, "offset": 3.0}, 10.0, 13.0),
    ],
)
def test_corrections(settings: dict[str, Any], given_value: float, expected: float) -> None:
    assert one(conditioner(**settings), given_value).value == pytest.approx(expected)


def test_a_correction_comes_before_the_conversion() -> None:
    sent = one(conditioner(offset=1.0, unit="[degF]"), 99.0)
    assert (sent.unit, sent.value) == ("[degF]", pytest.approx(212.0))


@pytest.mark.parametrize(("unit", "decimals"), [("[degF]", 2), ("K", 2)])
def test_the_resolution_follows_the_conversion(unit: str, decimals: int) -> None:
    assert one(conditioner(unit=unit), 21.5).decimals == decimals


@pytest.mark.parametrize(("scale", "decimals"), [(0.001, 5), (0.01, 4), (1.0, 2), (10.0, 1), (1000.0, 0)])
def test_the_resolution_follows_the_scale(scale: float, decimals: int) -> None:
    assert one(conditioner(scale=scale), 21.5).decimals == decimals


def test_absence_keeps_its_reason_and_takes_the_unit() -> None:
    (sent,) = conditioner(unit="K").apply([reading(None, Quality.ABSENT)], 0, 0)
    assert (sent.value, sent.unit, sent.quality) == (None, "K", Quality.ABSENT)


def test_a_correction_that_leads_nowhere_is_no_value() -> None:
    sent = one(conditioner(polynomial=[0.0, 0.0, 1e300]), 1e9)
    assert (sent.value, sent.quality) == (None, Quality.OUT_OF_RANGE)


def test_windows_end_on_their_boundaries_and_are_stamped_there() -> None:
    made = conditioner(window_s=10.0)
    sent: list[Reading] = []
    for second in range(25):
        now_ns = second * SECOND + SECOND // 2
        sent += made.apply([reading(float(second))], now_ns, now_ns)
    assert [(r.name, r.value) for r in sent] == [
        ("t_min", 0.0), ("t_mean", 4.5), ("t_max", 9.0), ("t_min", 10.0), ("t_mean", 14.5), ("t_max", 19.0),
    ]  # fmt: skip
    assert [r.age_ns for r in sent] == [SECOND // 2] * 6
    assert [r.decimals for r in sent[:3]] == [2, 3, 2]
    assert made.condensed == 25
    rest = made.rest(25 * SECOND)
    assert [(r.name, r.value) for r in rest] == [("t_min", 20.0), ("t_mean", 22.0), ("t_max", 24.0)]
    assert made.rest(25 * SECOND) == []


def test_a_window_says_what_was_wrong_in_it() -> None:
    made = conditioner(window_s=10.0, statistics=[Statistic.MAX])
    at = [0, 1, 11, 12, 21, 31]
    values = [
        reading(1.0), reading(2.0, Quality.CLIPPED), reading(None, Quality.ABSENT), reading(None, Quality.CHECKSUM),
        reading(3.0), reading(4.0),
    ]  # fmt: skip
    sent = [r for second, value in zip(at, values, strict=True) for r in made.apply([value], second * SECOND, 0)]
    assert [(r.value, r.quality) for r in sent] == [
        (2.0, Quality.CLIPPED),
        (None, Quality.CHECKSUM),
        (3.0, Quality.GOOD),
    ]


def test_a_window_that_lacks_readings_says_so() -> None:
    for missing in (0, 1):  # before the good one, and after
        made = conditioner(window_s=10.0, statistics=[Statistic.MAX])
        values = [reading(20.0, decimals=2)]
        values.insert(1 - missing, reading(None, Quality.CHECKSUM, decimals=None))
        for second, value in enumerate(values):
            made.apply([value], second * SECOND, 0)
        (sent,) = made.rest(3 * SECOND)
        assert (sent.value, sent.quality, sent.decimals) == (20.0, Quality.PARTIAL, 2)


def test_the_mean_of_huge_numbers_does_not_overflow() -> None:
    made = conditioner(window_s=10.0, statistics=[Statistic.MEAN])
    for second in range(3):
        made.apply([reading(1.7e308, decimals=None)], second * SECOND, 0)
    assert [r.value for r in made.rest(3 * SECOND)] == [pytest.approx(1.7e308)]


def test_a_recording_goes_on_behind_what_its_windows_hold() -> None:
    base_s = 1_700_000_040  # a multiple of a minute
    rows = [(base_s + 5 * step, float(step)) for step in range(40)]

    def play(made: Conditioner, after_ns: int, upto: int) -> list[Reading]:
        sent: list[Reading] = []
        for at_s, value in rows[:upto]:
            if at_s * SECOND > after_ns:
                sent += made.apply([replace(reading(value), time_ns=at_s * SECOND)], 5, 5)
        return sent

    settings = {"window_s": 60.0, "statistics": [Statistic.MEAN]}
    whole = conditioner(**settings)
    expected = [*play(whole, 0, 40), *whole.rest(5)]
    for cut in range(1, 40):
        first = conditioner(**settings)
        sent = [*play(first, 0, cut), *first.rest(5)]
        second = conditioner(**settings)
        accepted = second.accepted({"t_mean": max(r.time_ns or 0 for r in sent)})
        sent += [*play(second, accepted["t"], 40), *second.rest(5)]
        assert len({r.time_ns for r in sent}) == len(sent), cut
        assert len(sent) in (len(expected), len(expected) + 1), cut


def test_what_cannot_be_converted_is_no_value() -> None:
    sent = one(conditioner(unit="hPa"), 22.82)
    assert (sent.value, sent.unit, sent.quality) == (None, "hPa", Quality.INVALID)


def test_a_window_of_a_recording_ends_in_the_recordings_time() -> None:
    made = conditioner(window_s=60.0, statistics=[Statistic.MEAN])
    stamps = [1_700_000_040 * SECOND, 1_700_000_050 * SECOND, 1_700_000_100 * SECOND]
    sent = [r for ns in stamps for r in made.apply([replace(reading(2.0), time_ns=ns)], 5, 5)]
    assert [(r.time_ns, r.value) for r in sent] == [(1_700_000_100 * SECOND, 2.0)]


def test_only_changes_pass_and_a_heartbeat() -> None:
    made = conditioner(deadband=0.5, heartbeat_s=100.0)
    given_values = [(0, 20.0), (1, 20.4), (2, 20.6), (3, 20.2), (4, 20.0), (103, 20.0), (104, 20.0), (204, 20.1)]
    passed = [at for at, value in given_values if made.apply([reading(value)], at * SECOND, at * SECOND)]
    assert passed == [0, 2, 4, 104, 204]
    assert made.condensed == 3


def test_on_change_sees_texts_and_qualities() -> None:
    made = conditioner(deadband=0.0)
    given_readings = [
        reading("on"), reading("on"), reading("off"), reading(None, Quality.ABSENT), reading(None, Quality.ABSENT),
        reading("off"), reading(value=True), reading(value=True), reading(1.0), reading(1.0),
        reading(1.0, Quality.CLIPPED),
    ]  # fmt: skip
    passed = [bool(made.apply([r], i * SECOND, i * SECOND)) for i, r in enumerate(given_readings)]
    assert passed == [True, False, True, True, False, True, True, False, True, False, True]


@given(st.sampled_from(sorted(_SCALES)), st.sampled_from(sorted(_SCALES)), st.floats(-1e6, 1e6))
def test_a_conversion_and_back_is_nothing(a: str, b: str, value: float) -> None:
    there, back = conversion(a, b), conversion(b, a)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert back[0] * (there[0] * value + there[1]) + back[1] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("given_unit", "wanted", "value", "expected"),
    [
        ("Cel", "[degF]", -40.0, -40.0),
        ("Cel", "K", 0.0, 273.15),
        ("hPa", "mm[Hg]", 1013.25, 760.0),
        ("hPa", "[psi]", 1013.25, 14.6959),
        ("W.h", "J", 1.0, 3600.0),
        ("[g]", "m/s2", 1.0, 9.80665),
        ("rad/s", "deg/s", 3.14159265, 180.0),
        ("m/s", "km/h", 10.0, 36.0),
    ],
)
def test_conversions_that_people_know(given_unit: str, wanted: str, value: float, expected: float) -> None:
    found = conversion(given_unit, wanted)
    assert found is not None
    assert found[0] * value + found[1] == pytest.approx(expected, rel=1e-5)


def test_units_are_codes_and_unlike_ones_do_not_convert() -> None:
    for code in _SCALES:
        check_unit(code)
    assert conversion("Cel", "Pa") is None
    assert conversion("furlong", "m") is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("table_read = [1.0]\ntable_true = [1.0]", "two at least"),
        ("table_read = [1.0, 2.0]\ntable_true = [1.0]", "as many points"),
        ("table_read = [2.0, 1.0]\ntable_true = [1.0, 2.0]", "must rise"),
        ("polynomial = [1.0]\ntable_read = [1.0, 2.0]\ntable_true = [1.0, 2.0]", "not both"),
        ('statistics = ["min", "min"]', "each once"),
        ('unit = "furlong"', "no conversion"),
        ('unit = "degF"', "did you mean '[degF]'?"),
        ('unit = "deg F"', "is not a UCUM code"),
        ("deadband = -1.0", "at least 0"),
    ],
)
def test_mistakes_in_the_configuration(text: str, complaint: str) -> None:
    head = (
        '[uplink]\nhost = "h"\ndevice = "d-1"\n[[sensor]]\nname = "a"\nkind = "host"\n[[sensor.reading]]\nname = "x"\n'
    )
    with pytest.raises(ConfigError) as caught:
        parse(head + text + "\n", "edge.toml")
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('name = "cpu_laod"', "a host gives no reading 'cpu_laod'; did you mean 'cpu_load'?"),
        ('name = "cpu_temperature"\nunit = "hPa"', "is in Cel, which cannot be converted to hPa"),
        ('name = "cpu_*"\nunit = "[degF]"', "cpu_load is in %, which cannot be converted to [degF]"),
    ],
)
def test_readings_that_the_driver_does_not_give(text: str, complaint: str) -> None:
    head = '[uplink]\nhost = "h"\ndevice = "d-1"\n[[sensor]]\nname = "a"\nkind = "host"\n'
    with pytest.raises(ConfigError) as caught:
        parse(f"{head}[[sensor.reading]]\n{text}\n", "edge.toml")
    assert complaint in str(caught.value)
