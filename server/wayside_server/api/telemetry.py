"""Telemetry: history in pages, and exports as one document."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from wayside_server.api.answers import History, HistoryAnswer
from wayside_server.api.asker import Asker
from wayside_server.api.paging import Cursor, Limit, next_link, read_place, stale_cursor
from wayside_server.api.schema import DeviceName, bytes_of, problems
from wayside_server.api.streams import ClosingStream, Slots, while_allowed
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.moments import from_us, parse_moment, parse_width, to_text, to_us
from wayside_server.domain.reading import (
    MAX_WIDE_SERIES,
    Aggregation,
    ExportQuery,
    Format,
    HistoryQuery,
    Place,
    Reading,
    Sample,
    Shape,
)

MAX_EXPORTS = 8
"""Exports at a time: each keeps a core and a connection of the database busy."""
MAX_SERIES = 2_048
MIN_BUCKET_US = 1_000
MAX_BUCKET_US = 10_000 * 86_400 * 1_000_000

_MEDIA_TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.JSON: "application/json"}
_TIME = (
    "RFC 3339 with an offset, a date as in 2026-05-01 (its first moment in UTC), back from now as in -15m, -24h, -7d, "
    "or now"
)

SeriesNames = Annotated[
    list[str], Query(max_length=MAX_SERIES, description="names to keep; repeat it; all when absent")
]
Start = Annotated[str, Query(max_length=64, description=f"earliest time, included: {_TIME}")]
End = Annotated[str, Query(max_length=64, description=f"latest time, not included: {_TIME}")]

Bucket = Annotated[
    str | None,
    Query(
        max_length=20,
        description="width in seconds as in 90 or 0.5, or with a unit as in 30s, 15m, 1h, 1d, 1w; from 1 ms to 10000d; "
        "buckets are aligned to 1970-01-01 UTC, so those of a week begin on Thursdays",
    ),
]


def telemetry_router(reading: Reading) -> APIRouter:
    """The routes below /api/v1/devices/{device}/telemetry."""
    router = APIRouter(prefix="/api/v1/devices/{device}/telemetry", tags=["telemetry"])
    exports = Slots(MAX_EXPORTS, "exports")

    @router.get("")
    @requires(Permission.READ)
    async def history(
        request: Request,
        asker: Asker,
        device: DeviceName,
        series: SeriesNames = [],  # noqa: B006
        start: Start = "-24h",
        end: End = "now",
        order: Annotated[str, Query(pattern="^(asc|desc)$", description="of time")] = "asc",
        limit: Limit = 500,
        aggregation: Annotated[Aggregation | None, Query(description="needs `bucket`; numbers only")] = None,
        bucket: Bucket = None,
        cursor: Cursor = None,
    ) -> History:
        """A page of samples between two times. Follow `next` until it is null: nothing is cut without saying so."""
        if (aggregation is None) != (bucket is None):
            raise HTTPException(422, "aggregation and bucket belong together; give both or neither")
        bucket_us = 0 if bucket is None else _width(bucket)
        start_us, end_us = _span(start, end)
        question = f"{device} {sorted(series)} {order} {aggregation} {bucket_us}"
        after = None
        if cursor is not None:
            start_us, end_us, after = _decode(cursor, question)
        query = HistoryQuery(
            device=device,
            series=series,
            start_us=start_us,
            end_us=end_us,
            descending=order == "desc",
            limit=limit + 1,
            after=after,
            aggregation=aggregation,
            bucket_us=bucket_us,
        )
        found = await reading.within(asker).history(query)
        page = found[:limit]
        onward = None
        if len(found) > limit:
            # The span was fixed by the first page: a relative one would move between pages.
            place = _behind(page, after)
            onward = next_link(request, [start_us, end_us, place.at_us, place.series_id, place.skip], question)
        return History(
            device=device,
            start=to_text(from_us(start_us)),
            end=to_text(from_us(end_us)),
            samples=[HistoryAnswer.of(sample) for sample in page],
            next=onward,
        )

    @router.get(
        "/export",
        response_class=StreamingResponse,
        responses=bytes_of("text/csv", "application/json") | problems({429: "Too many exports are running."}),
    )
    @requires(Permission.READ)
    async def export(
        request: Request,
        asker: Asker,
        device: DeviceName,
        format: Format = Format.CSV,  # noqa: A002
        shape: Shape = Shape.LONG,
        series: SeriesNames = [],  # noqa: B006
        start: Start = "1970-01-02T00:00:00Z",
        end: End = "9999-01-01T00:00:00Z",
        quality: Annotated[
            bool, Query(description="wide: the qualities beside the values too; a long document always has them")
        ] = False,
    ) -> ClosingStream:
        """All samples between two times as one document, streamed. Long: by series and time. Wide: a row a time."""
        start_us, end_us = _span(start, end)
        if shape is Shape.WIDE:
            count = len(series) or len(await reading.within(asker).series(device))
            if count > MAX_WIDE_SERIES:
                raise HTTPException(
                    422, f"{count} series are too many columns; name up to {MAX_WIDE_SERIES} as series="
                )
        query = ExportQuery(device, series, start_us, end_us, format, shape, quality)
        give_back = exports.take(asker.tenant_id)
        try:
            pieces = reading.within(asker).export(query)
            # Errors that are known before the first byte still get a status of their own.
            first = await anext(pieces)
        except BaseException:
            give_back()
            raise
        headers = {"Content-Disposition": f'attachment; filename="{device}.{format.value}"'}
        rest = while_allowed(pieces, request.state.still_allowed)
        return ClosingStream(_chained(first, rest), _MEDIA_TYPES[format], headers, give_back)

    return router


def _span(start: str, end: str) -> tuple[int, int]:
    now_us = time.time_ns() // 1000
    try:
        start_us = parse_moment(start, now_us)
    except ValueError as error:
        raise HTTPException(422, f"start: {error}") from error
    try:
        end_us = parse_moment(end, now_us)
    except ValueError as error:
        raise HTTPException(422, f"end: {error}") from error
    if start_us >= end_us:
        raise HTTPException(422, "start: must lie before end")
    return start_us, end_us


def _width(bucket: str) -> int:
    try:
        width_us = parse_width(bucket)
    except ValueError as error:
        raise HTTPException(422, f"bucket: {error}") from error
    if not MIN_BUCKET_US <= width_us <= MAX_BUCKET_US:
        raise HTTPException(422, "bucket: must lie between 0.001 s and 10000d")
    return width_us


def _decode(cursor: str, question: str) -> tuple[int, int, Place]:
    parts = read_place(cursor, question, int, int, int, int, int)
    start_us, end_us, at_us, series_id, skip = (int(part) for part in parts)
    if not (0 <= series_id < 1 << 31 and 0 <= skip < 1 << 31):
        raise stale_cursor()
    return start_us, end_us, Place(at_us, series_id, skip)


def _behind(page: Sequence[Sample], after: Place | None) -> Place:
    """The place behind the last sample of `page`."""
    last = page[-1]
    at_us, series_id = to_us(last.at), last.series.id
    same = 0
    for sample in reversed(page):
        if (to_us(sample.at), sample.series.id) != (at_us, series_id):
            return Place(at_us, series_id, same)
        same += 1
    # The whole page shares one place; when the page before ended there too, its rows are skipped as well.
    if after is not None and (after.at_us, after.series_id) == (at_us, series_id):
        same += after.skip
    return Place(at_us, series_id, same)


async def _chained(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
