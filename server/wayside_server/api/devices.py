"""Devices: the list, their series and latest values, their account and dead letters."""

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from wayside_server.api.answers import (
    AccountAnswer,
    DeadLetterAnswer,
    DeadLetterPage,
    DeviceAnswer,
    DevicePage,
    Latest,
    LatestSampleAnswer,
    LogLineAnswer,
    LogPage,
    SeriesAnswer,
    SeriesList,
)
from wayside_server.api.asker import Asker
from wayside_server.api.paging import LAST_ID, Cursor, Limit, next_link, read_place
from wayside_server.api.schema import DeviceName, bytes_of
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.reading import Reading
from wayside_shared.device_log import LEVELS

Search = Annotated[str, Query(max_length=63, description="part of the name")]
Verify = Annotated[bool, Query(description="count the rows one by one, which takes a while")]


class Least(Enum):
    """The least level of a line."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


Level = Annotated[Least, Query(description="least level of the lines")]


def devices_router(reading: Reading) -> APIRouter:
    """The routes below /api/v1/devices that answer from `reading`, but for telemetry."""
    router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

    @router.get("")
    @requires(Permission.READ)
    async def list_devices(
        request: Request, asker: Asker, limit: Limit = 100, cursor: Cursor = None, search: Search = ""
    ) -> DevicePage:
        """Devices in order of name, those whose name contains `search`."""
        question = f"devices {search}"
        after = "" if cursor is None else str(read_place(cursor, question, str)[0])
        found = await reading.within(asker).devices(after=after, search=search, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].name], question) if len(found) > limit else None
        return DevicePage(devices=[DeviceAnswer.of(device) for device in page], next=onward)

    @router.get("/{device}")
    @requires(Permission.READ)
    async def get_device(asker: Asker, device: DeviceName) -> DeviceAnswer:
        """One device."""
        return DeviceAnswer.of(await reading.within(asker).device(device))

    @router.get("/{device}/series")
    @requires(Permission.READ)
    async def list_series(asker: Asker, device: DeviceName) -> SeriesList:
        """The series of a device."""
        return SeriesList(
            device=device, series=[SeriesAnswer.of(one) for one in await reading.within(asker).series(device)]
        )

    @router.get("/{device}/latest")
    @requires(Permission.READ)
    async def list_latest(asker: Asker, device: DeviceName) -> Latest:
        """The newest sample of each series, by event time and not by arrival."""
        latest = await reading.within(asker).latest(device)
        return Latest(device=device, samples=[LatestSampleAnswer.of_latest(one) for one in latest])

    @router.get("/{device}/account")
    @requires(Permission.READ)
    async def get_account(asker: Asker, device: DeviceName, verify: Verify = False) -> AccountAnswer:
        """What became of each sample that the device accepted; with `verify` its rows are counted one by one."""
        return AccountAnswer.of(await reading.within(asker).account(device, verify=verify))

    @router.get("/{device}/dead-letters")
    @requires(Permission.READ)
    async def list_dead_letters(
        request: Request, asker: Asker, device: DeviceName, limit: Limit = 100, cursor: Cursor = None
    ) -> DeadLetterPage:
        """Messages of a device that were refused for good, newest first."""
        question = f"dead-letters {device}"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        found = await reading.within(asker).dead_letters(device, before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].id], question) if len(found) > limit else None
        letters = [DeadLetterAnswer.of(letter) for letter in page]
        return DeadLetterPage(device=device, dead_letters=letters, next=onward)

    @router.get("/{device}/log")
    @requires(Permission.READ)
    async def list_log(
        request: Request,
        asker: Asker,
        device: DeviceName,
        level: Level = Least.DEBUG,
        limit: Limit = 100,
        cursor: Cursor = None,
    ) -> LogPage:
        """Lines of a device's log that it copied to the server, the last to come first."""
        question = f"log {device} {level.value}"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        least = LEVELS[level.value]
        found = await reading.within(asker).log(device, level=least, before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].id], question) if len(found) > limit else None
        return LogPage(device=device, lines=[LogLineAnswer.of(line) for line in page], next=onward)

    @router.get(
        "/{device}/dead-letters/{letter}", response_class=Response, responses=bytes_of("application/octet-stream")
    )
    @requires(Permission.READ)
    async def get_dead_letter(
        asker: Asker,
        device: DeviceName,
        letter: Annotated[int, Path(ge=0, le=LAST_ID, description="`id` in the listing")],
    ) -> Response:
        """The bytes of one refused message, as they arrived."""
        raw = await reading.within(asker).dead_letter(device, letter)
        headers = {"Content-Disposition": f'attachment; filename="dead-letter-{letter}.bin"'}
        return Response(raw, media_type="application/octet-stream", headers=headers)

    return router
