"""Brings revocations to the broker: the list is published, then the session that stands is ended."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from wayside_server.errors import ConfigError, StorageError, TransientError
from wayside_server.identity.publication import ALARM_LEFT, ListPublisher
from wayside_server.identity.revocation import Cause, Ending, RevocationStore

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 30.0
"""A notification that was lost costs this much; a session must be ended within 60 s."""
RETRY_S = 5.0
ATTEMPTS = 5
"""A device that took its name back so often is taken by the broker whatever the list says: a person must look."""
AT_ONCE = 50
"""Sessions that are ended at a time, some seconds each: a thousand devices are out within a minute."""

_REACH, _RENEWAL, _SESSIONS = "reach", "renewal", "sessions"
"""Troubles, of which each is told when it begins and when it ends."""


class Sessions(Protocol):
    """Ends sessions of devices (`ingest.takeover.BrokerSessions`)."""

    async def end(self, ending: Ending) -> bool:
        """Disconnects whoever has the name; False when somebody took it back. Raises TransientError."""


class Enforcement:
    """Keeps the broker's list and its sessions as the database has them.

    Args:
        store: where revocations are kept.
        publisher: of the lists.
        sessions: where devices are connected.
        now: the time, aware.
    """

    def __init__(
        self, store: RevocationStore, publisher: ListPublisher, sessions: Sessions, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._sessions = sessions
        self._now = now
        self._returns: Counter[str] = Counter()
        self._troubles: set[str] = set()

    async def run(self, watch: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        """Enforces until cancelled.

        Args:
            watch: sets its event whenever something was revoked or restored.
        """
        changed = asyncio.Event()

        async def listen() -> None:
            await watch(changed)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            while True:
                changed.clear()
                pause_s = LOOK_EVERY_S if await self._try() else RETRY_S
                try:
                    async with asyncio.timeout(pause_s):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def enforce(self) -> bool:
        """One round; whether nothing is left to do.

        Raises:
            StorageError: the database is away.
            ConfigError: a file cannot be read or written.
        """
        async with self._store.sessions_to_end() as waiting:
            # Published only now, the list has all of them: who is put out before it does comes back.
            told = (await self._publisher.publish(self._store)).told is not False
            if waiting is None:
                return False
            names = {ending.device for ending in waiting}
            for name in [name for name in self._returns if name not in names]:
                del self._returns[name]
            # Where the broker hears of the list from somebody else it reads it a moment later, and the board before
            # would come back; to see that it does not would mean to hold the name against the board that has it now.
            ready = [ending for ending in waiting if told or ending.cause is not Cause.REPLACED]
            return await self._end_all(ready) and len(ready) == len(waiting)

    async def _try(self) -> bool:
        try:
            done = await self.enforce()
        except StorageError as error:
            # Without the database the list must not run out.
            self._begin(_REACH, "revocations do not reach the broker, trying again", reason=str(error))
            self._renew()
            return False
        except ConfigError as error:
            if self._begin(_REACH, "revocations do not reach the broker, trying again", reason=str(error)):
                await self._tell_operators(str(error))
            return False
        self._end_trouble(_REACH, "revocations reach the broker again")
        return done

    def _renew(self) -> None:
        try:
            self._publisher.renew(ALARM_LEFT)
        except ConfigError as error:
            self._begin(_RENEWAL, "the revocation list cannot be renewed", reason=str(error))
        else:
            self._end_trouble(_RENEWAL, "the revocation list can be renewed again")

    async def _tell_operators(self, reason: str) -> None:
        try:
            await self._store.not_published(reason)
        except StorageError as error:
            log.warning("that revocations do not reach the broker was not entered", reason=str(error))

    def _begin(self, trouble: str, message: str, **facts: str) -> bool:
        """Says that `trouble` has begun, once; whether it has."""
        if trouble in self._troubles:
            return False
        self._troubles.add(trouble)
        log.error(message, **facts)
        return True

    def _end_trouble(self, trouble: str, message: str) -> None:
        if trouble in self._troubles:
            self._troubles.discard(trouble)
            log.info(message)

    async def _end_all(self, endings: Sequence[Ending]) -> bool:
        slots = asyncio.Semaphore(AT_ONCE)

        async def end(ending: Ending) -> bool:
            async with slots:
                return await self._end(ending)

        async with asyncio.TaskGroup() as tasks:
            ending = [tasks.create_task(end(one)) for one in endings]
        return all(task.result() for task in ending)

    async def _end(self, ending: Ending) -> bool:
        device = ending.device
        try:
            stayed_away = await self._sessions.end(ending)
        except TransientError as error:
            message = "sessions of revoked devices cannot be ended, trying again"
            self._begin(_SESSIONS, message, device=device, reason=str(error))
            return False
        self._end_trouble(_SESSIONS, "sessions of revoked devices can be ended again")
        if stayed_away:
            log.info("session of a revoked device ended", device=device, cause=ending.cause.value)
            return await self._enter(ending, None)
        self._returns[device] += 1
        if self._returns[device] < ATTEMPTS:
            return False
        detail = (
            "the broker still takes its certificate: see that the broker reads the newest tls/crl.pem, and that"
            " this database knows the certificate"
        )
        return await self._enter(ending, detail)

    async def _enter(self, ending: Ending, incident: str | None) -> bool:
        try:
            await self._store.session_ended(ending, self._now(), incident)
        except StorageError as error:
            message = "what became of a revoked device's session was not entered"
            log.warning(message, device=ending.device, reason=str(error))
            return False
        return True
