"""New samples as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from wayside_server.api.answers import SampleAnswer
from wayside_server.api.asker import Asker
from wayside_server.api.schema import DeviceName, bytes_of, problems
from wayside_server.api.streams import ClosingStream, Slots, while_allowed
from wayside_server.api.telemetry import SeriesNames
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.cursor import CursorError, decode_cursor, encode_cursor
from wayside_server.domain.live import Live
from wayside_server.domain.moments import parse_moment, to_us
from wayside_server.domain.reading import Device, Reading, TenantReading
from wayside_server.errors import NotFoundError, UnauthorizedError

HEARTBEAT_S = 2.0
"""Proxies close what is silent for 30 seconds; and with each event it may be asked whether the reader may go on: a
stream ends two to three seconds after its key was revoked."""
BEATS_UNTIL_A_LOOK = 7
"""Should a notice of new samples be lost, they are found this many heartbeats later."""
MIN_INTERVAL_S = 0.2
"""A chart shows no more than five steps a second."""
MAX_STREAMS = 200
MAX_LIVE_SERIES = 64
"""Each has its mark in the event id, which a browser sends back as a header."""


def live_router(reading: Reading, live: Live) -> APIRouter:
    """The route /api/v1/devices/{device}/live."""
    router = APIRouter(prefix="/api/v1/devices/{device}", tags=["telemetry"])
    streams = Slots(MAX_STREAMS, "live streams")

    @router.get(
        "/live",
        response_class=StreamingResponse,
        responses=bytes_of("text/event-stream") | problems({429: "Too many streams are open."}),
    )
    @requires(Permission.READ)
    async def follow(
        request: Request,
        asker: Asker,
        device: DeviceName,
        series: SeriesNames = [],  # noqa: B006
        since: Annotated[
            str | None, Query(max_length=64, description="start behind this time; else behind the latest")
        ] = None,
        last_event_id: Annotated[str | None, Header(max_length=8192)] = None,
    ) -> ClosingStream:
        """Samples newer than any sent before, as `samples` events; late ones are in the history only.

        An interrupted stream resumes where it was by `Last-Event-ID`, which browsers send by themselves.
        """
        own = reading.within(asker)
        known = await own.device(device)
        known_series = await own.series(device)
        missing = set(series) - {one.name for one in known_series}
        if missing:
            raise NotFoundError(f"{device} has no series {min(missing)[:128]!r}")
        wanted = [one.id for one in known_series if not series or one.name in series]
        if len(wanted) > MAX_LIVE_SERIES:
            raise HTTPException(422, f"{len(wanted)} series are too many to follow; name up to {MAX_LIVE_SERIES}")
        marks = await _marks(own, device, wanted, since)
        marks |= {key: us for key, us in _resumed(last_event_id, device).items() if key in marks}

        async def events() -> AsyncGenerator[str, None]:
            allowed = request.state.still_allowed
            async with (
                aclosing(_events(live, own, known, marks)) as source,
                aclosing(while_allowed(source, allowed)) as shown,
            ):
                with suppress(UnauthorizedError):
                    async for event in shown:
                        yield event

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return ClosingStream(events(), "text/event-stream", headers, streams.take(asker.tenant_id))

    return router


async def _events(live: Live, own: TenantReading, device: Device, marks: dict[int, int]) -> AsyncGenerator[str, None]:
    yield "retry: 2000\n\n"
    with live.follow(device.id) as signal:
        while True:
            signal.clear()
            while samples := await own.newer(marks):
                for sample in samples:
                    marks[sample.series.id] = max(marks[sample.series.id], to_us(sample.at))
                data = json.dumps({"samples": [SampleAnswer.of(sample).model_dump() for sample in samples]})
                yield f"id: {_event_id(marks, device.name)}\nevent: samples\ndata: {data}\n\n"
            await asyncio.sleep(MIN_INTERVAL_S)
            for _ in range(BEATS_UNTIL_A_LOOK):
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await signal.wait()
                        break
                except TimeoutError:
                    yield ": still here\n\n"


async def _marks(own: TenantReading, device: str, wanted: list[int], since: str | None) -> dict[int, int]:
    if since is not None:
        try:
            start_us = parse_moment(since, time.time_ns() // 1000)
        except ValueError as error:
            raise HTTPException(422, f"since: {error}") from error
        return dict.fromkeys(wanted, start_us)
    latest = {one.newest.series.id: to_us(one.newest.at) for one in await own.latest(device)}
    return {series_id: latest.get(series_id, 0) for series_id in wanted}


def _event_id(marks: Mapping[int, int], device: str) -> str:
    return encode_cursor([",".join(f"{series_id}:{us}" for series_id, us in marks.items())], f"live {device}")


def _resumed(event_id: str | None, device: str) -> dict[int, int]:
    """The marks in an event id; none when it is foreign, so that the stream starts afresh."""
    if event_id is None:
        return {}
    try:
        pairs = str(decode_cursor(event_id, f"live {device}", str)[0]).split(",")
        return {int(series_id): int(us) for series_id, _, us in (pair.partition(":") for pair in pairs)}
    except (CursorError, ValueError):
        return {}
