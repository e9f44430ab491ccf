"""The agent's composition root: the only place that names concrete classes.

The way of a sample:

1. `drivers` read a chip through `hal`, in steps, and return readings with their quality.
2. `acquisition` stamps them with boot time in the lane of their bus; `pipeline.guard` holds them to the chip's range.
3. `pipeline.conditioning` corrects, converts, gathers or thins them out as the configuration says.
4. `pipeline.batcher` refuses and counts what can never be stored, and closes a batch by count, size or age; then
   `acquisition.computing` shows the readings to the stages, whose results join them.
5. `outbox` numbers the batch and makes it durable: from here the sample is accepted.
6. `uplink.sender` decides when to send it, the newest ahead of the backlog.
7. `uplink.mqtt` publishes it with the device's own certificate.
8. The server commits it and names its number in an acknowledgement.
9. `outbox` marks it delivered and keeps a tail, in case the server is restored from a backup.
10. What had to be given up for want of room is declared, and that declaration travels like a sample.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import SystemRandom

from wayside_edge.acquisition import Acquisition
from wayside_edge.config import OWN_SENSOR, AgentSettings, load
from wayside_edge.errors import ConfigError, OutboxError
from wayside_edge.hal.buses import Buses
from wayside_edge.hal.clock import FLOOR_NS, SystemClock
from wayside_edge.hal.memory import share_one_heap
from wayside_edge.health.body import Health, Parts
from wayside_edge.health.copy import LogCopy
from wayside_edge.health.events import (
    ClockGivenUp,
    ClockHeld,
    ClockSynced,
    DropDeclared,
    Journal,
    OutboxAway,
    OutboxMended,
    OutboxSalvaged,
    RecordingResumed,
    Reloaded,
    ReloadedInPart,
    ReloadRefused,
)
from wayside_edge.health.life import Life
from wayside_edge.health.logs import Logs
from wayside_edge.health.supervisor import Pulse
from wayside_edge.identity.guarding import refuse_readable
from wayside_edge.identity.keeper import WORK_S, IdentityKeeper
from wayside_edge.identity.proving import ProvingTransport
from wayside_edge.identity.store import Files
from wayside_edge.outbox.salvage import Salvaged
from wayside_edge.outbox.soundness import Mended
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Appended, ClosedBatch, LinkState, Reading, Status
from wayside_edge.uplink.mqtt import MqttConnection, MqttTransport
from wayside_edge.uplink.session import Uplink
from wayside_shared import VERSION
from wayside_shared.clock import NS_PER_S, ClockMap, ClockState
from wayside_shared.rejects import DropReason

CLOCK_LOOK_S = 2.0
CLOCK_S = 30.0
"""The clock's watch looks every `CLOCK_LOOK_S`."""
UPLINK_S = 180.0
"""Between two signs of life the uplink may resolve a name (30 s), connect and subscribe (25 s), say goodbye (5 s) or
pause (61 s)."""
TELL_S = 60.0
"""Never reached: it shows that it rests."""
IDENTITY_S = WORK_S + 60.0
"""It waits for the process that asks the server."""
OUTBOX_RETRY_S = 5.0
"""A disk that came back is noticed within this; looking costs one failed open."""


def run(settings: AgentSettings, file: Path) -> int:
    """Measure and deliver until SIGTERM or SIGINT; returns the exit status.

    Args:
        settings: what to do.
        file: where they were read, and are read anew upon SIGHUP.

    Raises:
        ConfigError: a person must act.
    """
    if settings.identity.key is None:
        refuse_readable(settings.uplink.key_file)
    share_one_heap()
    logs = Logs(settings.log)
    logs.start()
    agent = _Agent(settings, file, logs)
    try:
        with agent.life:
            return asyncio.run(agent.run())
    except BaseExceptionGroup as group:
        # A bus of another package can find its settings wrong only when it opens.
        mistakes, _ = group.split(ConfigError)
        if mistakes is None:
            raise
        raise _first(mistakes) from group
    finally:
        logs.stop()


@dataclass
class _Accepting:
    """The outbox as the acquisition sees it; what is accepted is told to the uplink, once there is one."""

    store: DurableOutbox
    uplink: Uplink | None = None
    missed: list[Appended] = field(default_factory=list)

    async def append(self, batch: ClosedBatch) -> Appended:
        appended = await self.store.append(batch)
        if self.uplink is not None:
            self.uplink.accepted(appended)
        else:
            self.missed.append(appended)
        return appended

    def without_uplink(self) -> None:
        """The uplink has ended; from now on is kept what the next one must hear."""
        self.uplink = None
        self.missed.clear()

    def tell(self, uplink: Uplink) -> None:
        """There is an uplink, made from what the outbox held after `without_uplink`."""
        for appended in self.missed:  # it may know of some already
            uplink.accepted(appended)
        self.missed.clear()
        self.uplink = uplink


class _Agent:
    """One agent, from start to stop. Building it checks the settings and connects nothing."""

    def __init__(self, settings: AgentSettings, file: Path, logs: Logs) -> None:
        self._settings = settings
        self._file = file
        self._journal = Journal()
        self._clock = SystemClock(settings.clock)
        self._buses = Buses(settings.bus)
        self._store = DurableOutbox(settings.outbox, self._clock, self._dropped, self._salvaged, self._mended)
        self._accepting = _Accepting(self._store)
        self.life = Life(settings.watchdog, settings.outbox.path.with_suffix(".run"), self._journal, self._account)
        self._acquisition = Acquisition(
            *(settings, self._buses, self._clock, self._accepting),
            journal=self._journal,
            recorded=self._recorded,
            supervisor=self.life.supervisor,
        )
        self._released = False
        self._identity = self._build_identity()
        self._copy = LogCopy(settings.uplink.device, settings.log.send, self._clock)
        logs.attach(self._copy)
        self._health = self._build_health(logs)
        self._health.add_source(self._acquisition.stage_measures)
        self._health.add_source(self._identity.measures)

    async def run(self) -> int:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        reload = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, reload.set)
        self.life.watch()
        async with asyncio.TaskGroup() as tasks:
            delivering = tasks.create_task(self._deliver())
            sensing = tasks.create_task(self._acquisition.run())
            reloading = tasks.create_task(self._reload(reload))
            telling = tasks.create_task(self.life.keeper.keep("the agent's account of itself", self._tell, TELL_S))
            await stopping.wait()
            self.life.stopping()
            await _end(reloading)
            await _end(telling)
            await _end(sensing)
            await self._acquisition.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.uplink.drain_s):
                    if self._accepting.uplink is not None:
                        await self._accepting.uplink.drained()
            await _end(delivering)
        await self._store.close()
        self._buses.close()
        return 0

    async def _deliver(self) -> None:
        await self._open()
        await self._begin_record()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.life.keeper.keep("the clock's watch", self._watch_clock, CLOCK_S))
            tasks.create_task(self.life.keeper.keep("the uplink", self._connect, UPLINK_S))
            tasks.create_task(self.life.keeper.keep("the certificate", self._look_after_identity, IDENTITY_S))

    async def _connect(self, pulse: Pulse) -> None:
        """One uplink, from what the outbox holds to its end; another may have been before."""
        self._accepting.without_uplink()
        status = await self._open()
        settings = self._settings.uplink
        transport = ProvingTransport(self._identity, partial(self._dial, status.known_ns, pulse.beat))
        uplink = Uplink(
            *(settings, transport, self._store, status.pending, self._clock, agent_name(), SystemRandom()),
            holding=not (self._released or self._clock.synced()),
            alive=pulse.beat,
            spare=self._copy,
        )
        self._accepting.tell(uplink)
        self._copy.attach(uplink.nudge)
        await uplink.run()

    async def _dial(self, known_ns: int, alive: Callable[[], None], files: Files) -> MqttConnection:
        """A session with the certificate in `files`; up to three are tried in one attempt to connect."""
        alive()
        settings = replace(self._settings.uplink, ca_file=files.ca_file, cert_file=files.cert_file)
        earliest_ns = partial(self._earliest_ns, known_ns)
        token = self._identity.token
        if token is not None:
            from wayside_edge.identity.token import present_token  # ctypes, for boards with a token alone

            return await MqttTransport(
                settings, earliest_ns, lambda context, own: present_token(context, own.cert_file, token)
            ).connect()
        if files.key_file is not None:
            settings = replace(settings, key_file=files.key_file)
        return await MqttTransport(settings, earliest_ns).connect()

    async def _look_after_identity(self, pulse: Pulse) -> None:
        await self._identity.run(pulse.beat)

    def _build_identity(self) -> IdentityKeeper:
        uplink = self._settings.uplink
        return IdentityKeeper(
            self._settings.identity,
            uplink.device,
            Files(uplink.ca_file, uplink.cert_file, uplink.key_file if self._settings.identity.key is None else None),
            self._clock,
            SystemRandom(),
            link=self._link,
            prove=lambda: None if self._accepting.uplink is None else self._accepting.uplink.give_way(),
        )

    def _link(self) -> LinkState:
        return LinkState() if self._accepting.uplink is None else self._accepting.uplink.state

    async def _begin_record(self) -> None:
        """Say how the run before this one ended, here and to the server."""
        ending = await self.life.begin_record(self._clock.boot_id().hex())
        if ending is not None:
            self._acquisition.add_own(OWN_SENSOR, [Reading("restart", ending.text, "1")], 1.0)

    def _account(self) -> str:
        counters, aside = self._acquisition.counters, self._acquisition.set_aside
        uplink = self._accepting.uplink
        parts = [
            f"{len(self._settings.sensor)} sensors" + (f", quarantined: {', '.join(aside)}" if aside else ""),
            f"{counters.accepted} samples accepted",
            f"{uplink.pending} batches to deliver" if uplink is not None else "no uplink",
            "connected" if uplink is not None and uplink.connected else "not connected",
        ]
        return "; ".join(parts)

    async def _reload(self, asked: asyncio.Event) -> None:
        """Whenever it is asked for, read the configuration anew and go on with its stages, which can change alone."""
        while True:
            await asked.wait()
            asked.clear()
            try:
                settings = await asyncio.to_thread(load, self._file)
                swaps = await self._acquisition.swap_stages(settings.stage)
            except (ConfigError, ValueError) as error:
                self._journal.emit(ReloadRefused(str(error)))
                continue
            rest = replace(settings, stage=self._settings.stage) != self._settings
            self._settings = replace(self._settings, stage=settings.stage)
            also = "; restart the agent for what else changed" if rest else ""
            if swaps.refused:
                self._journal.emit(ReloadedInPart(", ".join(swaps.refused), swaps.changed, also))
            else:
                self._journal.emit(Reloaded(swaps.changed, also))

    async def _tell(self, pulse: Pulse) -> None:
        pulse.rest()  # it waits for clients as long as they like to stay away
        await self._health.run()

    def _build_health(self, logs: Logs) -> Health:
        """What is told of the agent itself; parts that measure something of their own add it with `add_source`."""
        return Health(
            self._settings.health,
            Parts(
                device=self._settings.uplink.device,
                agent=agent_name(),
                outbox=self._settings.outbox.path,
                clock=self._clock,
                journal=self._journal,
                logs=logs,
                copy=self._copy,
                intake=lambda: self._acquisition.intake,
                sensors=lambda: self._acquisition.sensors,
                stages=lambda: self._acquisition.stages,
                link=self._link,
                identity=self._identity.status,
                account=self._store.account,
                add=partial(self._acquisition.add_own, OWN_SENSOR),
            ),
        )

    def _earliest_ns(self, known_ns: int) -> int | None:
        """For the check of certificates while the time is not known: a board does not go back behind what it knew."""
        return None if self._clock.synced() else max(FLOOR_NS, known_ns)

    async def _open(self) -> Status:
        """The outbox, as soon as the disk gives it; samples wait in memory meanwhile."""
        said = ""
        while True:
            try:
                return await self._store.open()
            except OutboxError as error:
                if str(error) != said:
                    self._journal.emit(OutboxAway(str(error)))
                said = str(error)
                await asyncio.sleep(OUTBOX_RETRY_S)

    async def _watch_clock(self, pulse: Pulse) -> None:
        """Keep samples back while the time is unknown, because what was sent with a wrong time stays wrong; once it is
        known, note it for the batches that were stamped before."""
        waited = not self._clock.synced()
        if waited:
            await self._wait_for_time(pulse)
        pulse.rest()
        await self._note_clock()
        if waited:
            self._journal.emit(ClockSynced())
        self._release()

    def _release(self) -> None:
        self._released = True
        if self._accepting.uplink is not None:
            self._accepting.uplink.release()

    async def _wait_for_time(self, pulse: Pulse) -> None:
        """Returns once the clock is synchronised; when that takes too long, samples are released before."""
        hold_s, plausible = self._settings.clock.hold_s, self._clock.wall_ns() >= FLOOR_NS
        until_ns: int | None = self._clock.boottime_ns() + int(hold_s * NS_PER_S)
        said = datetime.fromtimestamp(self._clock.wall_ns() // NS_PER_S, UTC)
        how_long = f"for up to {hold_s:g} s" if plausible else "until it is set"
        self._journal.emit(ClockHeld(f"{said:%Y-%m-%d %H:%M} UTC", how_long))
        while not self._clock.synced():
            pulse.beat()
            if until_ns is not None and self._clock.boottime_ns() >= until_ns and self._clock.wall_ns() >= FLOOR_NS:
                until_ns = None
                self._journal.emit(ClockGivenUp(hold_s))
                self._release()
            await asyncio.sleep(min(CLOCK_LOOK_S, max(0.1, hold_s)))

    async def _note_clock(self) -> None:
        now = ClockMap(self._clock.boottime_ns(), self._clock.wall_ns(), ClockState.SYNCED)
        while True:
            try:
                return await self._store.note_clock(self._clock.boot_id(), now)
            except OutboxError:
                # The uplink and the acquisition say what is wrong with it.
                await asyncio.sleep(OUTBOX_RETRY_S)

    def _recorded(self, sensor: str) -> Mapping[str, int]:
        """Where a recording was when the agent ended; called in the thread that plays it."""
        found = self._store.recorded(sensor)
        if found:
            upto = datetime.fromtimestamp(min(found.values()) // NS_PER_S, UTC)
            self._journal.emit(RecordingResumed(sensor, f"{upto:%Y-%m-%d %H:%M:%S} UTC"))
        return found

    def _dropped(self, seqs: Sequence[int], samples: int, reason: DropReason) -> None:
        self._journal.emit(DropDeclared(len(seqs), samples, reason.meaning))

    def _salvaged(self, found: Salvaged) -> None:
        self._journal.emit(OutboxSalvaged(str(found.aside), found.saved, len(found.gone)))

    def _mended(self, found: Mended) -> None:
        self._journal.emit(OutboxMended(found.unsettled, found.clocks, found.sums))


def agent_name() -> str:
    """Software and version, as the server is told."""
    return f"wayside-edge {VERSION}"


def _first(group: BaseExceptionGroup[ConfigError]) -> ConfigError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
