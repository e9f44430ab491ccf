"""Devices: the list, their series and latest values, their account and dead letters."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from wayside_server.api.answers import (
    AccountAnswer,
    DeadLetterAnswer,
    DeadLetterPage,
    DeviceAnswer,
    DevicePage,
    Latest,
    SampleAnswer,
    SeriesAnswer,
    SeriesList,
)
from wayside_server.api.paging import LAST_ID, Cursor, Limit, next_link, read_place
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.reading import Reading


def devices_router(reading: Reading) -> APIRouter:
    """The routes below /api/v1/devices that answer from `reading`, but for telemetry."""
    router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

    @router.get("")
    @requires(Permission.READ)
    async def list_devices(
        request: Request, limit: Limit = 100, cursor: Cursor = None, search: Annotated[str, Query(max_length=63)] = ""
    ) -> DevicePage:
        """Devices in order of name, those whose name contains `search`."""
        question = f"devices {search}"
        after = "" if cursor is None else str(read_place(cursor, question, str)[0])
        found = await reading.devices(after=after, search=search, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].name], question) if len(found) > limit else None
        return DevicePage(devices=[DeviceAnswer.of(device) for device in page], next=onward)

    @router.get("/{device}")
    @requires(Permission.READ)
    async def get_device(device: str) -> DeviceAnswer:
        """One device."""
        return DeviceAnswer.of(await reading.device(device))

    @router.get("/{device}/series")
    @requires(Permission.READ)
    async def list_series(device: str) -> SeriesList:
        """The series of a device."""
        return SeriesList(device=device, series=[SeriesAnswer.of(one) for one in await reading.series(device)])

    @router.get("/{device}/latest")
    @requires(Permission.READ)
    async def list_latest(device: str) -> Latest:
        """The newest sample of each series, by event time and not by arrival."""
        return Latest(device=device, samples=[SampleAnswer.of(one) for one in await reading.latest(device)])

    @router.get("/{device}/account")
    @requires(Permission.READ)
    async def get_account(device: str, verify: bool = False) -> AccountAnswer:
        """What became of each sample that the device accepted; with `verify` its rows are counted one by one."""
        return AccountAnswer.of(await reading.account(device, verify=verify))

    @router.get("/{device}/dead-letters")
    @requires(Permission.READ)
    async def list_dead_letters(
        request: Request, device: str, limit: Limit = 100, cursor: Cursor = None
    ) -> DeadLetterPage:
        """Messages of a device that were refused for good, newest first."""
        question = f"dead-letters {device}"
        before_id = LAST_ID if cursor is None else int(read_place(cursor, question, int)[0])
        found = await reading.dead_letters(device, before_id=before_id, limit=limit + 1)
        page = found[:limit]
        onward = next_link(request, [page[-1].id], question) if len(found) > limit else None
        letters = [DeadLetterAnswer.of(letter) for letter in page]
        return DeadLetterPage(device=device, dead_letters=letters, next=onward)

    @router.get("/{device}/dead-letters/{letter}", response_class=Response)
    @requires(Permission.READ)
    async def get_dead_letter(device: str, letter: Annotated[int, Path(ge=0, le=LAST_ID)]) -> Response:
        """The bytes of one refused message, as they arrived."""
        raw = await reading.dead_letter(device, letter)
        headers = {"Content-Disposition": f'attachment; filename="dead-letter-{letter}.bin"'}
        return Response(raw, media_type="application/octet-stream", headers=headers)

    return router
