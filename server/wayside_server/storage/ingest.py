"""The ingest transaction: ledger, samples, watermarks and last values of a group of messages, all or nothing."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from wayside_server.domain.ingest import (
    Batch,
    DeadLetter,
    DeviceLog,
    Entry,
    Garbage,
    Hello,
    Incident,
    Item,
    Key,
    NewEntry,
    Plain,
    Plan,
    PoisonError,
    Presence,
    Settlement,
    StreamKey,
    acks,
    decide,
    keys_of,
    refusals,
    refuse,
)
from wayside_server.domain.limits import CARD_RESTORED, SERVER_BEHIND, DeviceLimits
from wayside_server.domain.refusals import DELETED_DEVICE, REVOKED_DEVICE
from wayside_server.domain.takeovers import Shared
from wayside_server.domain.watching import REVOKED_SENDS
from wayside_server.errors import RejectedError
from wayside_server.storage.admission import KnownSeries, admit_series, admit_streams, lock_devices
from wayside_server.storage.database import Connection, Pool, connection, fetch
from wayside_server.storage.dead_letters import bury
from wayside_server.storage.device_log import keep_lines
from wayside_server.storage.incidents import enter_incidents
from wayside_server.storage.ingest_group import Group, believed, blocks_of, flat, newest, printable, progress
from wayside_server.storage.partitions import Partitions
from wayside_server.storage.quotas import LOOK_EVERY_S, SampleQuotas
from wayside_server.storage.samples import copy_rows
from wayside_server.storage.statements import load_statements
from wayside_shared.columns import Block
from wayside_shared.session import MAX_RUNS, ServerHello

_SQL = load_statements("ingest")

NOTIFY_DEVICES = 600
"""Device ids in one notification: PostgreSQL takes less than 8,000 bytes, an id at most 10 digits and a comma."""


class PostgresIngest:
    """`domain.ingest.IngestStore` on PostgreSQL.

    Args:
        pool: an open pool on a migrated database.
        server: software and version, for hellos.
        limits: what one device may take up.
        look_every_s: how often it is looked which tenants have stored as many samples as they may.
    """

    def __init__(self, pool: Pool, server: str, limits: DeviceLimits, look_every_s: float = LOOK_EVERY_S) -> None:
        self._pool = pool
        self._server = server
        self._partitions = Partitions()
        self._series = KnownSeries()
        self._limits = limits
        self._quotas = SampleQuotas(look_every_s)

    async def settle(self, items: Sequence[Item]) -> Settlement:
        """Store `items` in one transaction (see the Protocol)."""
        try:
            with _poison():
                async with connection(self._pool) as conn:
                    await self._make_room(conn, items)
                    async with conn.transaction():
                        return await self._write(conn, items)
        except BaseException:
            # What was read of the database may belong to another state of it, restored since.
            self._series.clear()
            self._partitions = Partitions()
            raise

    async def count_refusals(self, kind: str, count: int, detail: str, device: str | None) -> None:
        """Enter refusals of the broker (see the Protocol)."""
        row = {"kind": kind, "count": count, "detail": printable(detail), "device": device}
        async with connection(self._pool) as conn:
            await conn.execute(_SQL["count_refusals"], row)

    async def note_incidents(self, found: Sequence[Shared]) -> None:
        """Enter what the broker's log tells of (see the Protocol)."""
        async with connection(self._pool) as conn, conn.transaction():
            rows = await fetch(conn, _SQL["device_ids"], {"names": sorted({one.device for one in found})})
            ids = {name: number for name, number, *_ in rows}
            noted = [(ids[one.device], one.kind, one.detail, 1) for one in found if one.device in ids]
            await enter_incidents(conn, noted)

    async def _make_room(self, conn: Connection, items: Sequence[Item]) -> None:
        # The series of a batch mostly share one column of times.
        times = {id(block.times_us): block.times_us for item in items for block in blocks_of(item)}
        for times_us in times.values():
            await self._partitions.ensure(conn, int(times_us.min()), int(times_us.max()))

    async def _write(self, conn: Connection, items: Sequence[Item]) -> Settlement:
        group = Group()
        await self._find_devices(conn, group, items)
        items = await self._refuse_revoked(conn, group, items)
        arrived = items
        items = await self._quotas.admit(conn, group, items)
        hellos = [item for item in items if isinstance(item, Hello)]
        sent = [item for item in items if isinstance(item, Batch)]
        sent = await admit_streams(conn, group, sent, hellos, self._limits)
        others = [item for item in items if not isinstance(item, Batch)]
        items = await admit_series(conn, group, self._series, [*sent, *others], self._limits)
        batches = [item for item in items if isinstance(item, Batch)]
        plan = decide(batches, await self._ledger(conn, group, batches))
        await self._enter(conn, group, plan.entries)
        await self._store(conn, group, plan.stored)
        await self._store_plain(conn, group, [item for item in items if isinstance(item, Plain)])
        logs = [item for item in items if isinstance(item, DeviceLog)]
        await keep_lines(conn, group, logs, self._limits)
        watermarks = await self._advance(conn, group, batches, plan)
        await self._over_epochs(conn, group, plan)
        watermarks |= {batch.stream: batch.envelope.first_seq - 1 for batch in group.over_epochs}
        garbage = [item for item in items if isinstance(item, Garbage)]
        dead = [*plan.dead, *(DeadLetter(item.raw, item.error.code, item.error.detail) for item in garbage)]
        await self._bury(conn, group, dead, garbage)
        answers = [await self._answer(conn, group, item) for item in hellos]
        await self._seen(conn, group, arrived)
        await self._keep_latest(conn, group)
        if group.blocks:
            stored_for = sorted({group.devices[item.raw.device] for item in items if blocks_of(item)})
            for at in range(0, len(stored_for), NOTIFY_DEVICES):
                devices = ",".join(map(str, stored_for[at : at + NOTIFY_DEVICES]))
                await conn.execute(_SQL["notify"], {"devices": devices})
        return Settlement(
            acks=[*acks(plan, watermarks), *refusals(garbage)],
            hellos=answers,
            stored=sum(group.stored.values()) + group.plain_stored,
            duplicates=sum(plan.duplicates.values()) + group.plain_duplicates,
            dead=len(dead),
            incidents=await self._enter_incidents(conn, group),
            tenants=group.tenants,
        )

    async def _find_devices(self, conn: Connection, group: Group, items: Sequence[Item]) -> None:
        # A certificate of ours names the sender, so a device that a restored database has forgotten is entered again.
        names = {item.raw.device for item in items}
        found = await fetch(conn, _SQL["device_ids"], {"names": sorted(names)})
        missing = sorted(names - {name for name, *_ in found})
        if missing:
            group.gone = {name for (name,) in await fetch(conn, _SQL["gone"], {"names": missing})}
            await conn.execute(_SQL["ensure_devices"], {"names": sorted(set(missing) - group.gone)})
            found = await fetch(conn, _SQL["device_ids"], {"names": sorted(names - group.gone)})
        group.devices = {name: number for name, number, *_ in found}
        group.tenants = {name: tenant_id for name, *_, tenant_id in found}
        group.revoked = {name for name, _, revoked, _ in found if revoked}

    async def _refuse_revoked(self, conn: Connection, group: Group, items: Sequence[Item]) -> Sequence[Item]:
        """What is left without the items of revoked devices and of deleted ones, which get no answer: they keep what
        they have.

        What the broker says of a device's presence is no message of the device, and nothing new about a revoked one.
        """
        for kind, names in ((REVOKED_DEVICE, group.revoked), (DELETED_DEVICE, group.gone)):
            refused = [item for item in items if item.raw.device in names and not isinstance(item, Presence)]
            if names is group.revoked:
                for item in refused:
                    group.note(item.raw.device, REVOKED_SENDS, f"on {item.raw.topic}")
            if refused:
                last = refused[-1].raw
                row = {"kind": kind, "count": len(refused), "detail": printable(last.topic), "device": last.device}
                await conn.execute(_SQL["count_refusals"], row)
        return [item for item in items if item.raw.device not in group.revoked | group.gone]

    async def _ledger(self, conn: Connection, group: Group, batches: Sequence[Batch]) -> Mapping[Key, Entry]:
        keys = list(keys_of(batches))
        if not keys:
            return {}
        columns = {
            "stream_ids": [group.streams[device, epoch].id for device, epoch, _ in keys],
            "seqs": [seq for _, _, seq in keys],
        }
        streams = {stream.id: key for key, stream in group.streams.items()}
        found: dict[Key, Entry] = {}
        for stream_id, seq, digest, outcome in await fetch(conn, _SQL["ledger"], columns):
            found[(*streams[stream_id], seq)] = Entry(None if digest is None else bytes(digest), outcome)
        return found

    async def _enter(self, conn: Connection, group: Group, entries: Sequence[NewEntry]) -> None:
        if entries:
            columns = {
                "stream_ids": [group.streams[entry.key[0], entry.key[1]].id for entry in entries],
                "seqs": [entry.key[2] for entry in entries],
                "befores": [entry.before for entry in entries],
                "ns": [entry.n for entry in entries],
                "digests": [entry.digest for entry in entries],
                "outcomes": [entry.outcome for entry in entries],
            }
            await conn.execute(_SQL["enter"], columns)

    async def _store(self, conn: Connection, group: Group, stored: Sequence[Batch]) -> None:
        placed: list[tuple[int, Block]] = []
        for batch in stored:
            group.count_stored(batch, blocks_of(batch))
        for batch in stored:
            placed.extend(_placed(group, batch))
        numbers = [(number, block) for number, block in placed if block.numbers is not None]
        if numbers:
            async with conn.cursor().copy(_SQL["copy_samples"]) as copy:
                await copy.write(copy_rows(numbers))
        texts = flat([(number, block) for number, block in placed if block.texts is not None])
        if texts["series_ids"]:
            await conn.execute(_SQL["add_values"], texts)
        qualities = flat([(number, block) for number, block in placed if block.qualities is not None])
        if qualities["series_ids"]:
            await conn.execute(_SQL["add_qualities"], qualities)
        group.blocks.extend(placed)

    async def _store_plain(self, conn: Connection, group: Group, messages: Sequence[Plain]) -> None:
        if not messages:
            return
        device_ids = [group.devices[message.raw.device] for message in messages]
        # Two sessions may hold the same message: the second must see what the first has stored.
        await lock_devices(conn, group)
        counts: dict[int, list[int]] = {device_id: [0, 0] for device_id in device_ids}
        for device_id, message in zip(device_ids, messages, strict=True):
            placed = _placed(group, message)
            stored = 0
            for name, wanted in (("add_new_samples", "numbers"), ("add_new_values", "texts")):
                columns = flat([(number, block) for number, block in placed if getattr(block, wanted) is not None])
                if columns["series_ids"]:
                    stored += (await conn.execute(_SQL[name], columns)).rowcount
            counts[device_id][0] += stored
            counts[device_id][1] += sum(len(block) for _, block in placed) - stored
            group.blocks.extend(placed)
        columns = {
            "device_ids": list(counts),
            "stored": [stored for stored, _ in counts.values()],
            "duplicates": [duplicates for _, duplicates in counts.values()],
        }
        await conn.execute(_SQL["count_plain"], columns)
        group.plain_stored = sum(columns["stored"])
        group.plain_duplicates = sum(columns["duplicates"])

    async def _over_epochs(self, conn: Connection, group: Group, plan: Plan) -> None:
        """Refuses the batches whose epoch may not be: without a ledger, so they are counted each time."""
        counts: dict[int, int] = defaultdict(int)
        for batch in group.over_epochs:
            assert isinstance(batch.content, RejectedError)
            refuse(plan, batch, batch.content)
            counts[group.devices[batch.raw.device]] += batch.envelope.n
        if counts:
            columns = {"device_ids": list(counts), "samples": list(counts.values())}
            await conn.execute(_SQL["count_over_epochs"], columns)

    async def _advance(
        self, conn: Connection, group: Group, batches: Sequence[Batch], plan: Plan
    ) -> dict[StreamKey, int]:
        own: dict[StreamKey, list[Batch]] = defaultdict(list)
        for batch in batches:
            own[batch.stream].append(batch)
        settled: dict[StreamKey, list[int]] = defaultdict(list)
        for entry in plan.entries:
            settled[entry.key[0], entry.key[1]].append(entry.key[2])
        touched = own.keys() | settled.keys()
        if not touched:
            return {}
        rows = [progress(group, key, own[key], settled[key], plan, self._limits) for key in touched]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        keys = {group.streams[key].id: key for key in touched}
        return {keys[number]: upto for number, upto in await fetch(conn, _SQL["advance"], columns)}

    async def _bury(
        self, conn: Connection, group: Group, dead: Sequence[DeadLetter], garbage: Sequence[Garbage]
    ) -> None:
        if not dead:
            return
        await lock_devices(conn, group)
        await bury(conn, group, dead, self._limits)
        counts: dict[int, int] = defaultdict(int)
        for item in garbage:
            counts[group.devices[item.raw.device]] += 1
        if counts:
            await conn.execute(_SQL["count_garbage"], {"device_ids": list(counts), "counts": list(counts.values())})

    async def _answer(self, conn: Connection, group: Group, item: Hello) -> tuple[str, ServerHello]:
        hello, device = item.hello, item.raw.device
        stream = group.streams.get((device, hello.epoch))
        if stream is None:
            # An epoch that may not be; its batches will be refused one by one.
            before = hello.first_seq - 1
            return device, ServerHello(hello.nonce, hello.epoch, before, before, self._server)
        counters = hello.counters
        if counters is not None and believed(group, device, counters, stream.stored, self._limits):
            if counters.next_seq <= stream.max_seq:
                detail = f"its next batch would be {counters.next_seq}, the server has {stream.max_seq}"
                group.note(device, CARD_RESTORED, detail)
            else:
                columns = {
                    "id": stream.id,
                    "accepted": counters.accepted,
                    "next_seq": counters.next_seq,
                    "pending_from": counters.pending_from,
                    "pending_before": counters.pending_before,
                }
                await conn.execute(_SQL["report"], columns)
        upto = stream.contiguous_upto
        if upto < hello.acked_upto:
            detail = f"the device was acknowledged up to {hello.acked_upto}, the server has {upto}"
            group.note(device, SERVER_BEHIND, detail)
        found = await fetch(conn, _SQL["runs"], {"id": stream.id, "above": upto, "most": MAX_RUNS})
        ranges = [(first, last) for first, last in found]
        return device, ServerHello(hello.nonce, hello.epoch, upto, stream.max_seq, self._server, ranges)

    async def _enter_incidents(self, conn: Connection, group: Group) -> list[Incident]:
        noted = [group.incidents[key] for key in sorted(group.incidents)]
        if not noted:
            return []
        columns = {
            "device_ids": [group.devices[one.device] for one in noted],
            "kinds": [one.kind for one in noted],
            "details": [printable(one.detail) for one in noted],
            "counts": [one.count for one in noted],
        }
        totals = {(number, kind): count for number, kind, count in await fetch(conn, _SQL["incidents"], columns)}
        return [replace(one, first=totals[group.devices[one.device], one.kind] == one.count) for one in noted]

    async def _seen(self, conn: Connection, group: Group, items: Sequence[Item]) -> None:
        seen: dict[int, list[Any]] = {}
        for item in items:
            row = seen.setdefault(group.devices[item.raw.device], ["online", None, None])
            row[0] = item.state if isinstance(item, Presence) else "online"
            if isinstance(item, Hello):
                row[1], row[2] = item.hello.agent, int(item.hello.clock.state)
        columns = {
            "device_ids": list(seen),
            "states": [state for state, _, _ in seen.values()],
            "agents": [agent for _, agent, _ in seen.values()],
            "clock_states": [clock_state for _, _, clock_state in seen.values()],
        }
        await lock_devices(conn, group)
        await conn.execute(_SQL["seen"], columns)

    async def _keep_latest(self, conn: Connection, group: Group) -> None:
        values = newest([(number, block) for number, block in group.blocks if block.qualities is None])
        if values["series_ids"]:
            await conn.execute(_SQL["latest"], values)
        qualities = newest([(number, block) for number, block in group.blocks if block.qualities is not None])
        if qualities["series_ids"]:
            await conn.execute(_SQL["latest_quality"], qualities)


def _placed(group: Group, item: Item) -> list[tuple[int, Block]]:
    device_id = group.devices[item.raw.device]
    return [(group.series[device_id, block.name, block.unit], block) for block in blocks_of(item)]


@contextmanager
def _poison() -> Iterator[None]:
    """What no retry mends, as PoisonError: the database calls the data wrong, or it cannot even be bound."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError, UnicodeError, OverflowError) as error:
        raise PoisonError(str(error)) from error
