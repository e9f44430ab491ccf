import csv
import io
import json
import math
import random
import struct
from datetime import datetime, timedelta

import pytest

from wayside_server.domain.moments import to_us
from wayside_server.domain.reading import ExportQuery, Format, Shape
from wayside_server.errors import NotFoundError
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.reading import PostgresTenantReading
from wayside_shared.quality import Quality
from wayside_testkit.telemetry import START, add_device, add_qualities, add_series, at, reading_of

ALL = (to_us(START) - 10**15, to_us(START) + 10**15)
NASTY = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "＝1",
    'a"b,c',
    "line\nbreak",
    "\x01\x02",
    "",
    "plain text",
    "\\N",
    "ünï",
]


@pytest.fixture
def reading(pool: Pool, database: str) -> PostgresTenantReading:
    return reading_of(pool, database)


async def _export(reading: PostgresTenantReading, kind: Format, shape: Shape, *series: str) -> str:
    pieces = [piece async for piece in reading.export(ExportQuery("dev-1", series, *ALL, kind, shape))]
    return b"".join(pieces).decode()


def _numbers() -> list[float]:
    source = random.Random(7)
    drawn = [struct.unpack("<d", source.randbytes(8))[0] for _ in range(5000)]
    fixed = [0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1, -5.0, 1e22, 123456789.123456, 1e-7]
    return fixed + [value for value in drawn if math.isfinite(value)]


async def test_numbers_and_times_return_bit_for_bit(pool: Pool, reading: PostgresTenantReading) -> None:
    device = await add_device(pool, "dev-1")
    # More than one piece, and times with every number of decimals.
    samples = [
        (START + timedelta(seconds=7919 * i, microseconds=i * 1001 % 10**6), v) for i, v in enumerate(_numbers())
    ]
    await add_series(pool, device, "temperature", '=Cel,"', samples)
    rows = list(csv.DictReader(io.StringIO(await _export(reading, Format.CSV, Shape.LONG))))
    got = [(datetime.fromisoformat(row["time"]), repr(float(row["value"]))) for row in rows]
    assert got == [(moment, repr(value)) for moment, value in samples]
    assert {(row["series"], row["unit"]) for row in rows} == {("temperature", "'=Cel,\"")}
    # Python reads the JSON number -0 as the integer 0 unless told otherwise.
    objects = json.loads(await _export(reading, Format.JSON, Shape.LONG), parse_int=float)
    assert [(datetime.fromisoformat(o["time"]), repr(float(o["value"]))) for o in objects] == got
    assert {(o["series"], o["unit"]) for o in objects} == {("temperature", '=Cel,"')}
    wide = json.loads(await _export(reading, Format.JSON, Shape.WIDE), parse_int=float)
    assert [repr(float(next(iter(o["values"].values())))) for o in wide] == [value for _, value in got]


async def test_times_have_six_decimals_as_everywhere_in_the_api(pool: Pool, reading: PostgresTenantReading) -> None:
    device = await add_device(pool, "dev-1")
    decimals = ["000000", "100000", "120000", "123000", "000001", "123456", "500000", "000000"]
    moments = [START + timedelta(seconds=i, microseconds=int(part)) for i, part in enumerate(decimals)]
    texts = [f"2026-03-01T00:00:0{i}.{part}Z" for i, part in enumerate(decimals)]
    marked = await add_series(pool, device, "marked", "Cel", [(moment, 1.5) for moment in moments])
    await add_qualities(pool, marked, [(moments[0], Quality.CLIPPED)])
    await add_series(pool, device, "number", "Cel", [(moment, 1.5) for moment in moments])
    await add_series(pool, device, "text", "1", [(moment, "x") for moment in moments])
    rows = csv.DictReader(io.StringIO(await _export(reading, Format.CSV, Shape.LONG)))
    assert [row["time"] for row in rows] == 3 * texts
    assert [row["time"] for row in json.loads(await _export(reading, Format.JSON, Shape.LONG))] == 3 * texts
    wide = csv.DictReader(io.StringIO(await _export(reading, Format.CSV, Shape.WIDE)))
    assert [row["time"] for row in wide] == texts
    assert [row["time"] for row in json.loads(await _export(reading, Format.JSON, Shape.WIDE))] == texts


async def test_whole_seconds_and_whole_microseconds_alike(pool: Pool, reading: PostgresTenantReading) -> None:
    """Pieces whose times all lack as many decimals take a way of their own."""
    device = await add_device(pool, "dev-1")
    whole = [START + timedelta(seconds=i) for i in range(9000)]
    fine = [START + timedelta(seconds=i, microseconds=1 + i % 9) for i in range(9000)]
    await add_series(pool, device, "fine", "Cel", [(moment, 1.5) for moment in fine])
    await add_series(pool, device, "whole", "Cel", [(moment, 1.5) for moment in whole])
    rows = csv.DictReader(io.StringIO(await _export(reading, Format.CSV, Shape.LONG)))
    assert [row["time"] for row in rows] == [f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z" for moment in fine + whole]


async def test_a_long_document_is_not_sorted_in_files(pool: Pool, reading: PostgresTenantReading) -> None:
    """The index gives the order. Where random reads look dear and memory is scarce, the planner would sort."""
    device = await add_device(pool, "dev-1")
    await add_series(pool, device, "temperature", "Cel", [(at(i), i / 8) for i in range(20_000)])
    async with connection(pool) as conn:
        (name,) = await (await conn.execute("SELECT current_database()")).fetchone() or ("",)
        for setting in ("work_mem = '64kB'", "random_page_cost = 40"):
            await conn.execute(f'ALTER DATABASE "{name}" SET {setting}')
        await conn.execute("VACUUM ANALYZE sample")
    exported = await _export(reading, Format.CSV, Shape.LONG)
    assert exported.count("\n") == 20_001
    async with connection(pool) as conn:
        files = await (
            await conn.execute("SELECT temp_files FROM pg_stat_database WHERE datname = current_database()")
        ).fetchone()
    assert files == (0,)


async def test_texts_return_and_no_cell_is_a_formula(pool: Pool, reading: PostgresTenantReading) -> None:
    device = await add_device(pool, "dev-1")
    values = [*NASTY, True, None, {"=a": [1, "-2"]}, -5]
    storable = [value for value in values if value != "\x01\x02"]
    await add_series(pool, device, "door", "1", [(at(i), value) for i, value in enumerate(storable)])  # type: ignore[arg-type]
    await add_series(pool, device, "level", "m", [(at(1), -5.0), (at(2), "high")])
    text = await _export(reading, Format.CSV, Shape.LONG)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["series"] for row in rows] == ["door"] * len(storable) + ["level"] * 2
    cells = [row["value"] for row in rows]
    for value, cell in zip(storable, cells, strict=False):
        if isinstance(value, str):
            assert cell == ("'" + value if value[:1] in tuple("=+-@\t\r＝") and value else value)
    assert cells[-2:] == ["-5", "high"]
    objects = json.loads(await _export(reading, Format.JSON, Shape.LONG))
    assert [o["value"] for o in objects] == [*storable, -5, "high"]


async def test_a_wide_document_has_a_row_for_each_time_and_loses_no_double(
    pool: Pool, reading: PostgresTenantReading
) -> None:
    device = await add_device(pool, "dev-1")
    month = 30 * 86_400
    await add_series(pool, device, "b", "Cel", [(at(0), 1.0), (at(0), 2.0), (at(month), 3.0)])
    await add_series(pool, device, "a", "m", [(at(0), 10.5), (at(1), "x")])
    rows = list(csv.reader(io.StringIO(await _export(reading, Format.CSV, Shape.WIDE))))
    assert rows[0] == ["time", "a [m]", "b [Cel]"]
    assert [row[1:] for row in rows[1:]] == [["10.5", "1"], ["", "2"], ["x", ""], ["", "3"]]
    objects = json.loads(await _export(reading, Format.JSON, Shape.WIDE))
    assert [o["values"] for o in objects] == [
        {"a [m]": 10.5, "b [Cel]": 1},
        {"b [Cel]": 2},
        {"a [m]": "x"},
        {"b [Cel]": 3},
    ]


async def test_nothing_to_export_is_a_whole_document(pool: Pool, reading: PostgresTenantReading) -> None:
    await add_device(pool, "dev-1")
    assert await _export(reading, Format.CSV, Shape.LONG) == "series,unit,time,value,quality\n"
    assert json.loads(await _export(reading, Format.JSON, Shape.LONG)) == []
    assert await _export(reading, Format.CSV, Shape.WIDE) == "time\n"
    with pytest.raises(NotFoundError, match="no series 'x'"):
        await _export(reading, Format.CSV, Shape.LONG, "x")
