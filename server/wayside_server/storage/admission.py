"""What a group needs of streams and series: found, made as far as the limits let it, and else refused.

Streams are locked first, in the order of their ids, then devices in the order of theirs, once; who makes a stream or
a series holds its device's lock. So two sessions do not wait for each other, but for a stream that one makes while the
other begins; then PostgreSQL ends one of them, which tries again.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from wayside_server.domain.ingest import Batch, Garbage, Hello, Item, StreamKey, keys_of
from wayside_server.domain.limits import TOO_MANY_EPOCHS, TOO_MANY_SERIES, DeviceLimits
from wayside_server.errors import RejectedError
from wayside_server.storage.database import Connection, fetch
from wayside_server.storage.ingest_group import Group, LockedStream, Series, blocks_of
from wayside_server.storage.quotas import series_room
from wayside_server.storage.statements import load_statements
from wayside_shared.rejects import RejectCode

_SQL = load_statements("ingest")

MAX_KNOWN_SERIES = 100_000
"""Their ids are kept in memory, about 30 MB; a fleet that has more looks the rest up as they come."""


class KnownSeries:
    """Ids of the series met last."""

    def __init__(self, most: int = MAX_KNOWN_SERIES) -> None:
        self._most = most
        self._ids: OrderedDict[Series, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, series: Series) -> int | None:
        """The id of `series`, if it is known."""
        number = self._ids.get(series)
        if number is not None:
            self._ids.move_to_end(series)
        return number

    def put(self, series: Series, number: int) -> None:
        """Keep the id of `series`; the one that was not met for the longest time makes room."""
        self._ids[series] = number
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._ids.clear()


async def lock_devices(conn: Connection, group: Group) -> None:
    """Locks every device of the group, unless that was done."""
    if not group.devices_locked:
        await conn.execute(_SQL["lock_devices"], {"device_ids": sorted(group.devices.values())})
        group.devices_locked = True


async def admit_streams(
    conn: Connection, group: Group, batches: Sequence[Batch], hellos: Sequence[Hello], limits: DeviceLimits
) -> list[Batch]:
    """Locks the streams of `batches` and `hellos`, making those that the limits allow.

    Returns:
        The batches whose own stream is there; those that declare drops in one that may not be are refused in it.
        All others are in `group.over_epochs`.
    """
    first_seqs: dict[StreamKey, int] = {}
    for batch in batches:
        first_seqs.setdefault(batch.stream, batch.envelope.first_seq)
    for hello in hellos:
        first_seqs.setdefault((hello.raw.device, hello.hello.epoch), hello.hello.first_seq)
    # A drop may speak of an epoch that this database has never seen; it then begins with what is known of it.
    for device, epoch, seq in sorted(keys_of(batches)):
        first_seqs.setdefault((device, epoch), seq)
    if not first_seqs:
        return []
    await _lock_streams(conn, group, list(first_seqs))
    if len(group.streams) == len(first_seqs):
        return list(batches)
    await lock_devices(conn, group)
    # Another session may have made some before the lock was had.
    await _lock_streams(conn, group, [key for key in first_seqs if key not in group.streams])
    await _make_streams(conn, group, first_seqs, limits)
    return [_in_streams(group, batch, limits) for batch in batches if _has_stream(group, batch, limits)]


async def admit_series(
    conn: Connection, group: Group, known: KnownSeries, items: Sequence[Item], limits: DeviceLimits
) -> list[Item]:
    """`items`, with `group.series` for all their blocks; those that would make too many series are refused."""
    unknown: dict[Series, None] = {}
    for series in _series_of(group, items):
        if series not in group.series:
            number = known.get(series)
            if number is None:
                unknown[series] = None
            else:
                group.series[series] = number
    if not unknown:
        return list(items)
    await _look_up(conn, group, sorted(unknown))
    if any(series not in group.series for series in unknown):
        await lock_devices(conn, group)
        # Another session may have made some before the lock was had.
        await _look_up(conn, group, [series for series in sorted(unknown) if series not in group.series])
        items = await _make_series(conn, group, items, limits)
    for series in unknown:
        if series in group.series:
            known.put(series, group.series[series])
    return list(items)


async def _make_streams(
    conn: Connection, group: Group, first_seqs: Mapping[StreamKey, int], limits: DeviceLimits
) -> None:
    missing = [key for key in first_seqs if key not in group.streams]
    if missing:
        device_ids = sorted({group.devices[device] for device, _ in missing})
        counts = dict(await fetch(conn, _SQL["count_streams"], {"device_ids": device_ids}))
        made = [key for key in missing if _counted(counts, group.devices[key[0]], limits.epochs)]
        if made:
            columns = {
                "device_ids": [group.devices[device] for device, _ in made],
                "epochs": [epoch for _, epoch in made],
                "first_seqs": [first_seqs[key] for key in made],
            }
            await conn.execute(_SQL["ensure_streams"], columns)
            await _lock_streams(conn, group, made)


async def _make_series(conn: Connection, group: Group, items: Sequence[Item], limits: DeviceLimits) -> list[Item]:
    missing = {series for series in _series_of(group, items) if series not in group.series}
    device_ids = sorted({series[0] for series in missing})
    counts = dict(await fetch(conn, _SQL["count_series"], {"device_ids": device_ids}))
    rooms = await series_room(conn, device_ids)
    made: dict[Series, None] = {}
    admitted: list[Item] = []
    for item in items:
        new = {series for series in _series_of(group, [item]) if series in missing and series not in made}
        device_id = group.devices[item.raw.device]
        had, room = counts.get(device_id, 0), rooms.get(device_id)
        if new and had + len(new) > limits.series:
            detail = f"{item.raw.device} may have {limits.series} series (limits.series)"
            admitted.append(_without_series(group, item, detail))
            continue
        if room is not None and len(new) > room.left:
            detail = f"tenant {room.tenant} may have {room.most} series (wayside-server tenant limit)"
            admitted.append(_without_series(group, item, detail))
            continue
        counts[device_id] = had + len(new)
        if room is not None:
            room.left -= len(new)
        made.update(dict.fromkeys(sorted(new)))
        admitted.append(item)
    if made:
        columns = _columns(made)
        await conn.execute(_SQL["ensure_series"], columns)
        await _look_up(conn, group, list(made))
    return admitted


def _without_series(group: Group, item: Item, detail: str) -> Item:
    group.note(item.raw.device, TOO_MANY_SERIES, detail)
    error = RejectedError(RejectCode.TOO_MANY_SERIES, detail)
    return replace(item, content=error) if isinstance(item, Batch) else Garbage(item.raw, error)


def _series_of(group: Group, items: Iterable[Item]) -> set[Series]:
    return {(group.devices[item.raw.device], block.name, block.unit) for item in items for block in blocks_of(item)}


async def _look_up(conn: Connection, group: Group, wanted: Sequence[Series]) -> None:
    for device_id, name, unit, number in await fetch(conn, _SQL["series_ids"], _columns(wanted)):
        group.series[device_id, name, unit] = number


def _columns(series: Collection[Series]) -> dict[str, list[object]]:
    device_ids, names, units = zip(*series, strict=True) if series else ((), (), ())
    return {"device_ids": list(device_ids), "names": list(names), "units": list(units)}


async def _lock_streams(conn: Connection, group: Group, keys: Sequence[StreamKey]) -> None:
    columns = {"device_ids": [group.devices[device] for device, _ in keys], "epochs": [epoch for _, epoch in keys]}
    names = {number: name for name, number in group.devices.items()}
    for device_id, epoch, number, upto, max_seq, stored in await fetch(conn, _SQL["lock_streams"], columns):
        group.streams[names[device_id], bytes(epoch)] = LockedStream(number, upto, max_seq, stored)


def _counted(counts: dict[int, int], device_id: int, most: int) -> bool:
    """Counts one more for a device, if it may have one more."""
    room = counts.get(device_id, 0) < most
    if room:
        counts[device_id] = counts.get(device_id, 0) + 1
    return room


def _has_stream(group: Group, batch: Batch, limits: DeviceLimits) -> bool:
    if batch.stream in group.streams:
        return True
    group.over_epochs.append(replace(batch, content=_over_epochs(group, batch, limits)))
    return False


def _in_streams(group: Group, batch: Batch, limits: DeviceLimits) -> Batch:
    """`batch`, refused if it declares drops in a stream that is not there."""
    if all((device, epoch) in group.streams for device, epoch, _ in keys_of([batch])):
        return batch
    return replace(batch, content=_over_epochs(group, batch, limits))


def _over_epochs(group: Group, batch: Batch, limits: DeviceLimits) -> RejectedError:
    detail = f"{batch.raw.device} may begin {limits.epochs} epochs (limits.epochs)"
    group.note(batch.raw.device, TOO_MANY_EPOCHS, detail)
    return RejectedError(RejectCode.TOO_MANY_EPOCHS, detail)
