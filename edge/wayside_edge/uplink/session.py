"""The uplink: it joins the sender's decisions to the outbox and the transport."""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from wayside_edge.errors import DeviceRefusedError, OutboxError, RejectedError, TransientError
from wayside_edge.hal.clock import FLOOR_NS
from wayside_edge.ports import (
    REJECTED_AFTER,
    Appended,
    Clock,
    Connection,
    Incoming,
    LinkState,
    OutboxDelivery,
    Outgoing,
    Spare,
    Transport,
)
from wayside_edge.uplink import sender as core
from wayside_edge.uplink.condition import LinkCondition
from wayside_edge.uplink.pauses import RECONNECT_BASE_S, pause_s
from wayside_edge.uplink.refusals import Refusals, reason
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared import session, topics
from wayside_shared.batch import CONTENT_TYPE, Envelope, encode_message
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.ranges import Ranges
from wayside_shared.topics import Channel

log = logging.getLogger(__name__)

STABLE_S = 20.0
"""A session that lasted this long was a good one."""
IDLE_S = 30.0
LAST_WORDS_S = 5.0
"""How long a session that is to give way to another one waits for what is on its way; the rest goes again."""


class Uplink:
    """Delivers what the outbox holds, for as long as it runs.

    Args:
        settings: `[uplink]`.
        transport: the way to the broker.
        outbox: the outbox, open.
        pending: numbers of its batches not delivered yet.
        clock: boot time paces everything; wall time only travels.
        agent: software and version, for the hello.
        random: source of jitter.
        holding: whether samples whose time is not known yet are kept back until `release`.
        alive: called whenever it gets on; between two calls lie at most `IDLE_S`, or an attempt to connect and the
            pause before the next.
        spare: what to send when there is nothing else.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        transport: Transport,
        outbox: OutboxDelivery,
        pending: Ranges,
        clock: Clock,
        agent: str,
        random: Random,
        *,
        holding: bool = False,
        alive: Callable[[], None] = lambda: None,
        spare: Spare | None = None,
    ) -> None:
        self._device = settings.device
        self._longest_pause_s = settings.reconnect_s
        self._transport = transport
        self._outbox = outbox
        self._clock = clock
        self._agent = agent
        self._random = random
        self._sender = core.Sender(pending, settings.window, random)
        self._todo: asyncio.Queue[core.Event | Incoming] = asyncio.Queue()
        self._holding = holding
        self._alive = alive
        self._outbox_said = ""
        self._refusals = Refusals()
        self._asked_ns = 0
        self._giving_way_ns: int | None = None
        self._spare = spare
        self._connected = False
        self._state = LinkState(since_ns=clock.boottime_ns())
        self._drained = asyncio.Event()
        self._note_drained()

    @property
    def connected(self) -> bool:
        """Whether a session with the broker stands."""
        return self._connected

    @property
    def state(self) -> LinkState:
        """How the link is."""
        return self._state

    def nudge(self) -> None:
        """There is something to send when there is nothing else; call it in the event loop."""
        if self._connected:
            self._todo.put_nowait(core.Tick())

    @property
    def pending(self) -> int:
        """Batches that the server has not confirmed yet."""
        return len(self._sender.pending) + len(self._sender.held)

    def accepted(self, appended: Appended) -> None:
        """Tell the uplink what an append did; call it in the event loop."""
        self._tell(core.Removed(appended.dropped))
        self._tell(core.Added(appended.added))

    def release(self) -> None:
        """The time is known, or waited for no longer: send what was kept back, and tell the server of the clock.

        What was stamped before `FLOOR_NS` still stays until the outbox knows its time: the server would refuse it.
        """
        self._holding = False
        self._tell(core.Released(os.urandom(session.NONCE_BYTES)))

    async def drained(self) -> None:
        """Returns once nothing is pending but what waits for the time."""
        await self._drained.wait()

    async def run(self) -> None:
        """Keep a session with the broker and deliver; runs until cancelled."""
        failures = 0
        condition = LinkCondition(self._device)
        while True:
            stable = False
            self._alive()
            self._giving_way_ns = None
            try:
                connection = await self._transport.connect()
            except TransientError as error:
                self._refused(error, condition)
            else:
                began_ns = self._clock.boottime_ns()
                condition.opened()
                standing = asyncio.get_running_loop().call_later(STABLE_S, condition.stood)
                try:
                    await self._converse(connection)
                finally:
                    standing.cancel()
                if self._giving_way_ns is not None:
                    continue
                stable = self._clock.boottime_ns() - began_ns > STABLE_S * NS_PER_S
                condition.ended(connection.ended, stood=stable)
                self._note_link(trouble=connection.ended)
            # A session that falls at once counts as a failure too: two cards with one name would else fight for ever.
            failures = 0 if stable else failures + 1
            self._alive()
            await asyncio.sleep(pause_s(failures, self._longest_pause_s, self._random))

    def give_way(self) -> None:
        """Let the session end and open the next one at once, because there is another certificate to show; call it in
        the event loop. What the server has not confirmed by then is sent again."""
        if self._giving_way_ns is None:
            # While a session is being opened too: it may have chosen its certificate before.
            self._giving_way_ns = self._clock.boottime_ns()
        if self._connected:
            self._todo.put_nowait(core.Tick())

    def _refused(self, error: TransientError, condition: LinkCondition) -> None:
        rejections = self._state.rejections + 1 if isinstance(error, DeviceRefusedError) else self._state.rejections
        condition.refused(str(error))
        if rejections == REJECTED_AFTER and isinstance(error, DeviceRefusedError):
            condition.rejected(rejections, str(error))
        self._note_link(trouble=str(error), rejections=rejections)

    def _gives_way(self) -> bool:
        if self._giving_way_ns is None:
            return False
        waited_ns = self._clock.boottime_ns() - self._giving_way_ns
        return not self._sender.flights or waited_ns > LAST_WORDS_S * NS_PER_S

    async def _converse(self, connection: Connection) -> None:
        """One session, from hello to its end."""
        self._connected = True
        self._note_link(sessions=self._state.sessions + 1, rejections=0)
        if self._spare is not None:
            self._spare.began()
        try:
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(self._listen(connection))
                try:
                    await self._deal(connection, core.Connected(os.urandom(session.NONCE_BYTES)))
                    while not listener.done() and not self._gives_way():
                        await self._turn(connection)
                finally:
                    listener.cancel()
        finally:
            self._connected = False
            self._note_link()
            self._sender.step(core.Disconnected(), self._clock.boottime_ns())
            await connection.close()

    async def _turn(self, connection: Connection) -> None:
        """Wait for the next event, or for time to bring one, and deal with it."""
        self._alive()
        due_ns = self._sender.next_due_ns()
        wait_s = IDLE_S if due_ns is None else max(0.0, (due_ns - self._clock.boottime_ns()) / NS_PER_S)
        event: core.Event | Incoming
        try:
            async with asyncio.timeout(min(wait_s, IDLE_S if self._giving_way_ns is None else 1.0)):
                event = await self._todo.get()
        except TimeoutError:
            event = core.Tick()
        await self._deal(connection, event)
        self._send_spare(connection)

    async def _deal(self, connection: Connection, event: core.Event | Incoming) -> None:
        """Deal with `event`; a disk or a message that is at fault ends no session, and is said once."""
        try:
            if isinstance(event, Incoming):
                await self._receive(connection, event)
            else:
                await self._do(connection, event)
        except RejectedError as error:
            log.error("a message from the server was passed over: %s", error)
        except OutboxError as error:
            # Nothing is lost: what could not be marked is confirmed again when it is sent again.
            if str(error) != self._outbox_said:
                log.error("nothing is delivered: %s", error)
            self._outbox_said = str(error)
            await asyncio.sleep(RECONNECT_BASE_S)
        self._note_drained()

    def _send_spare(self, connection: Connection) -> None:
        """Carry what has no hurry, when nothing that has waits."""
        if self._spare is None or not self._todo.empty() or not self._sender.idle:
            return
        message = self._spare.next()
        if message is not None:
            with suppress(TransientError):  # the listener ends this session, and the next one carries it again
                connection.publish(message)

    def _note_link(self, **changes: Any) -> None:
        if self._connected != self._state.connected:
            changes |= {"connected": self._connected, "since_ns": self._clock.boottime_ns()}
        self._state = replace(self._state, **changes)

    async def _listen(self, connection: Connection) -> None:
        async for message in connection.incoming():
            self._todo.put_nowait(message)
        self._todo.put_nowait(core.Tick())

    async def _receive(self, connection: Connection, message: Incoming) -> None:
        address = topics.parse(message.topic)
        if address is None or address.device != self._device:
            return
        if address.channel is Channel.ACK:
            await self._do(connection, core.GotAck(session.decode_ack(message.payload)))
        elif address.channel is Channel.HELLO_SERVER:
            hello = session.decode_server_hello(message.payload)
            held = await self._outbox.load(())
            await self._do(connection, core.GotHello(hello, held.current.epoch, held.counters.next_seq))

    def _tell(self, event: core.Event) -> None:
        """Take `event` in now when nobody converses, else leave it to the session."""
        if self._connected:
            self._todo.put_nowait(event)
        else:
            self._sender.step(event, self._clock.boottime_ns())
        self._note_drained(coming=isinstance(event, core.Added))

    async def _do(self, connection: Connection, event: core.Event) -> None:
        """Run `event` and all that follows from it."""
        effects = self._sender.step(event, self._clock.boottime_ns())
        while effects:
            following: list[core.Event] = []
            for effect in effects:
                self._alive()
                following.extend(await self._perform(connection, effect))
                if self._outbox_said:
                    log.info("the outbox delivers again")
                self._outbox_said = ""
            effects = [e for f in following for e in self._sender.step(f, self._clock.boottime_ns())]
        self._note_drained()

    async def _perform(self, connection: Connection, effect: core.Effect) -> Sequence[core.Event]:
        match effect:
            case core.SendHello(nonce):
                await self._say_hello(connection, nonce)
                return ()
            case core.Publish(seqs):
                return await self._publish(connection, seqs)
            case core.Settle(ack):
                return await self._settle(connection, ack)
            case core.Rewind(hello):
                again = await self._outbox.rewind(hello)
                if again:
                    log.warning("the server lost what it had acknowledged; sending %d kept batches again", len(again))
                return [core.Added(again)]
            case core.Fork():
                await self._outbox.fork()
                log.warning("the server knows later batches than this card: restored or cloned; a new epoch begins")
                return ()

    async def _publish(self, connection: Connection, seqs: list[int]) -> Sequence[core.Event]:
        held = await self._outbox.load(seqs)
        waiting = [batch.seq for batch in held.rows if self._must_wait(batch.clock)]
        for batch in held.rows:
            if self._must_wait(batch.clock):
                continue
            envelope = Envelope(
                device=self._device,
                epoch=batch.epoch,
                first_seq=batch.first_seq,
                seq=batch.seq,
                before=batch.before,
                n=batch.n,
                boot_id=batch.boot_id,
                clock=batch.clock,
                counters=held.counters if batch.epoch == held.current.epoch else None,
            )
            self._send(connection, Channel.UP, encode_message(envelope, batch.body), CONTENT_TYPE)
            log.debug("sent batch %d: %d samples, %d bytes", batch.seq, batch.n, len(batch.body))
        gone = set(seqs) - {batch.seq for batch in held.rows}
        return [core.Held(waiting), core.Removed(gone), core.Added(held.declared)]

    def _must_wait(self, clock: ClockMap) -> bool:
        return clock.state is ClockState.UNSYNCED and (self._holding or clock.wall_ns < FLOOR_NS)

    async def _settle(self, connection: Connection, ack: session.Ack) -> Sequence[core.Event]:
        settled = await self._outbox.settle(ack)
        log.debug("the server confirms %d batches", len(settled.delivered))
        self._refusals.note(settled.refused, self._clock.boottime_ns())
        self._note_link(
            delivered=self._state.delivered + len(settled.delivered),
            refused=self._state.refused + len(settled.refused),
            refused_samples=self._state.refused_samples + settled.refused_samples,
            refusal=reason(settled.refused[-1]) if settled.refused else self._state.refusal,
        )
        if settled.requeued:
            log.warning("%d batches get new numbers: theirs hold other content", len(settled.requeued))
        if settled.behind:
            await self._ask_again(connection)
        gone: Iterable[int] = [
            *settled.delivered,
            *(reject.seq for reject in settled.refused),
            *(old for old, _ in settled.requeued),
        ]
        return [core.Removed(gone, len(settled.delivered)), core.Added([new for _, new in settled.requeued])]

    async def _ask_again(self, connection: Connection) -> None:
        now_ns = self._clock.boottime_ns()
        if now_ns - self._asked_ns < IDLE_S * NS_PER_S:
            return
        self._asked_ns = now_ns
        for effect in self._sender.ask_again(os.urandom(session.NONCE_BYTES), now_ns):
            await self._perform(connection, effect)

    async def _say_hello(self, connection: Connection, nonce: bytes) -> None:
        held = await self._outbox.load(())
        wall = ClockMap(
            self._clock.boottime_ns(),
            self._clock.wall_ns(),
            ClockState.SYNCED if self._clock.synced() else ClockState.UNSYNCED,
        )
        for stream in await self._outbox.streams():
            hello = session.DeviceHello(
                nonce=nonce,
                epoch=stream.epoch,
                first_seq=stream.first_seq,
                acked_upto=stream.acked_upto,
                counters=held.counters if stream.epoch == held.current.epoch else None,
                boot_id=self._clock.boot_id(),
                clock=wall,
                agent=self._agent,
            )
            content = session.encode_device_hello(hello)
            self._send(connection, Channel.HELLO_DEVICE, content, session.HELLO_CONTENT_TYPE)

    def _send(self, connection: Connection, channel: Channel, payload: bytes, content_type: str) -> None:
        try:
            connection.publish(Outgoing(topics.topic(self._device, channel), payload, content_type))
        except TransientError as error:
            # The listener ends this session; what was not sent stays pending and goes with the next one.
            log.debug("not sent: %s", error)

    def _note_drained(self, *, coming: bool = False) -> None:
        if self._sender.pending or coming or not self._todo.empty():
            self._drained.clear()
        else:
            self._drained.set()
