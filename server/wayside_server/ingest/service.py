"""The ingest role: it joins the broker's session to the intake's decisions and the database."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Protocol

import structlog

from wayside_server.domain.ingest import IngestStore, Item, PoisonError, Settlement
from wayside_server.domain.refusals import TOO_MANY_MESSAGES
from wayside_server.domain.takeovers import Takeovers
from wayside_server.errors import StorageError, TransientError
from wayside_server.ingest import intake, metrics
from wayside_server.ingest.decode import condemned, decode
from wayside_server.ingest.mqtt import Received
from wayside_server.ingest.pace import Pace
from wayside_server.ingest.refusals import RefusalTally
from wayside_shared.session import ACK_CONTENT_TYPE, HELLO_CONTENT_TYPE, encode_ack, encode_server_hello
from wayside_shared.topics import Channel

log = structlog.get_logger(__name__)

RETRY_BASE_S = 0.2
RETRY_CAP_S = 10.0
REFUSALS_EVERY_S = 2.0
CONDEMN_AFTER = 2
"""Times that the database must refuse a message alone before it is set aside."""


class Session(Protocol):
    """A session with the broker (`ingest.mqtt.BrokerSession`)."""

    generation: int

    async def open(self) -> None:
        """Connect and subscribe; raises TransientError."""

    def take(self) -> list[Received]:
        """Everything that has come since the last call, in order."""

    def publish(self, device: str, channel: Channel, payload: bytes, content_type: str) -> None:
        """Send `payload` to `device`."""

    def acknowledge(self, packet_id: int) -> None:
        """PUBACK a message of this session."""

    async def close(self) -> None:
        """End it."""


class SessionFactory(Protocol):
    """Makes a session that is not open yet; the callbacks run in the event loop."""

    def __call__(self, on_messages: Callable[[], None], on_end: Callable[[str], None]) -> Session: ...


class Ingest:
    """One ingest session after the other, for as long as it runs.

    Args:
        new_session: makes the sessions.
        store: where groups are committed.
        pace: how fast devices may send.
        random: source of jitter.
    """

    def __init__(self, new_session: SessionFactory, store: IngestStore, pace: Pace, random: Random) -> None:
        self._new_session = new_session
        self._store = store
        self._pace = pace
        self._random = random
        self._intake = intake.Intake()
        self._session: Session | None = None
        self._writes: asyncio.Queue[intake.Write] = asyncio.Queue()
        self._refused_alone = 0
        self._refusals = RefusalTally()
        self._takeovers = Takeovers()

    async def run(self) -> None:
        """Ingest until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_groups())
            group.create_task(self._write_refusals())
            await self._keep_session()

    async def _keep_session(self) -> None:
        failures = 0
        while True:
            ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            session = self._new_session(self._on_messages, partial(_finish, ended))
            try:
                await session.open()
                failures = 0
                await self._serve(session, ended)
            except TransientError as error:
                if failures == 0:
                    log.warning("ingest has no broker, trying again", reason=str(error))
                failures += 1
            finally:
                await session.close()
            spread = min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(failures, 10))
            await asyncio.sleep(RETRY_BASE_S + self._random.uniform(0, spread))

    async def _serve(self, session: Session, ended: "asyncio.Future[str]") -> None:
        log.info("ingest session began", generation=session.generation)
        metrics.SESSIONS.inc()
        self._session = session
        self._do(intake.SessionBegan(session.generation))
        try:
            # Messages may have come between the subscription and this line.
            self._on_messages()
            with metrics.CONNECTED.track_inprogress():
                reason = await ended
            log.warning("ingest session ended", reason=reason)
        finally:
            self._session = None
            self._do(intake.SessionEnded())

    def _on_messages(self) -> None:
        session = self._session
        if session is None:
            return
        for received in session.take():
            metrics.MESSAGES.labels(received.channel.value).inc()
            if not self._pace.admits(received.raw.device):
                # For the broker it is done with; an agent that hears nothing of the server sends it again.
                session.acknowledge(received.packet_id)
                continue
            ticket = intake.Ticket(session.generation, received.packet_id)
            self._do(intake.Arrived(partial(decode, received.raw, received.channel), ticket))

    def on_broker_log(self, line: str) -> None:
        """Take a line of the broker's log."""
        self._refusals.note(line)
        # The line begins with the broker's clock.
        self._takeovers.note(line.partition(": ")[2], asyncio.get_running_loop().time())

    async def _write_refusals(self) -> None:
        while True:
            await asyncio.sleep(REFUSALS_EVERY_S)
            for (kind, device), (count, detail) in self._refusals.take().items():
                metrics.REFUSED.labels(kind).inc(count)
                log.warning("the broker refused connections", kind=kind, count=count, latest=detail)
                await self._enter_refusals(kind, count, detail, device)
            for device, count in self._pace.take_refused().items():
                log.warning("messages were not taken, too many came", device=device, count=count)
                detail = f"{device or 'other devices'} sent more than [rates] allows"
                await self._enter_refusals(TOO_MANY_MESSAGES, count, detail, device)
            await self._enter_takeovers()

    async def _enter_refusals(self, kind: str, count: int, detail: str, device: str | None) -> None:
        try:
            await self._store.count_refusals(kind, count, detail, device)
        except StorageError:
            # The metric and the log have it; the database's own trouble is told where batches wait.
            log.debug("refusals were not entered", kind=kind)

    async def _enter_takeovers(self) -> None:
        found = self._takeovers.take()
        for shared in found:
            metrics.INCIDENTS.labels(shared.kind).inc()
            log.warning("incident", device=shared.device, kind=shared.kind, detail=shared.detail)
        if found:
            try:
                await self._store.note_incidents(found)
            except StorageError:
                log.debug("incidents were not entered", count=len(found))

    def _do(self, event: intake.Event) -> None:
        for effect in self._intake.step(event):
            match effect:
                case intake.Write():
                    self._writes.put_nowait(effect)
                case intake.Tell(settlement):
                    self._tell(settlement)
                case intake.Puback(tickets):
                    self._puback(tickets)

    async def _write_groups(self) -> None:
        failures = 0
        while True:
            write = await self._writes.get()
            if write.again:
                spread = min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(failures, 10))
                await asyncio.sleep(RETRY_BASE_S + self._random.uniform(0, spread))
            event = await self._write(write.items, first_failure=failures == 0)
            failures = failures + 1 if isinstance(event, intake.Failed) else 0
            self._do(event)

    async def _write(self, items: Sequence[Item], *, first_failure: bool) -> intake.Event:
        metrics.GROUP.observe(len(items))
        try:
            with metrics.COMMIT_S.time():
                settlement = await self._store.settle(items)
        except StorageError as error:
            metrics.FAILURES.inc()
            if first_failure:
                log.error("the database takes nothing, trying again", reason=str(error))
            return intake.Failed()
        except PoisonError as error:
            return self._poisoned(items, error)
        self._refused_alone = 0
        return intake.Committed(settlement)

    def _poisoned(self, items: Sequence[Item], error: PoisonError) -> intake.Event:
        log.error("the database refuses a group", messages=len(items), reason=str(error).splitlines()[0])
        self._refused_alone = self._refused_alone + 1 if len(items) == 1 else 0
        if self._refused_alone >= CONDEMN_AFTER:
            return intake.Poisoned(condemned(items[0]))
        return intake.Poisoned(None)

    def _tell(self, settlement: Settlement) -> None:
        metrics.SAMPLES.inc(settlement.stored)
        metrics.DUPLICATES.inc(settlement.duplicates)
        metrics.DEAD.inc(settlement.dead)
        for incident in settlement.incidents:
            metrics.INCIDENTS.labels(incident.kind).inc(incident.count)
            if incident.first:
                log.warning("incident", device=incident.device, kind=incident.kind, detail=incident.detail)
        self._pace.learn(settlement.tenants)
        if self._session is None:
            return
        for device, ack in settlement.acks:
            told = encode_ack(replace(ack, slow_ms=self._pace.pause_ms(device)))
            self._session.publish(device, Channel.ACK, told, ACK_CONTENT_TYPE)
        for device, hello in settlement.hellos:
            self._session.publish(device, Channel.HELLO_SERVER, encode_server_hello(hello), HELLO_CONTENT_TYPE)

    def _puback(self, tickets: Sequence[intake.Ticket]) -> None:
        session = self._session
        for ticket in tickets:
            if session is not None and ticket.generation == session.generation:
                session.acknowledge(ticket.packet_id)


def _finish(ended: "asyncio.Future[str]", reason: str) -> None:
    if not ended.done():
        ended.set_result(reason)
