"""The audit log's commands and its periodic work: telling the head outside, checking the chain, writing it out."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from wayside_server.app import Storage, utc_now
from wayside_server.domain.audit import AuditTrail, Check
from wayside_server.errors import ConfigError, StorageError
from wayside_server.identity.audit import DampedTrail
from wayside_server.identity.heads import Heads, read_heads
from wayside_server.identity.home import Home
from wayside_server.storage.audit import STEP, PostgresAudit
from wayside_server.storage.database import Pool
from wayside_server.supervise import all_or_none

log = structlog.get_logger(__name__)

TELL_EVERY_S = 3600.0
"""What was entered within the last hour could be written anew unseen by whoever owns the database."""
LOOK_EVERY_S = 60.0
"""After a silence of an hour, or a start, the first entries are told this soon: they may be of a break-in."""
LAST_WITHIN_S = 5.0
"""A stop waits no longer for the database."""
MOST_FAULTS = 20
"""A chain that was cut has one; more than a handful says no more."""


class Telling:
    """Tells heads of the audit log, to the file and to the server's own log.

    Args:
        audit: the log.
        heads: the file.
        clock: seconds that only grow.
    """

    def __init__(self, audit: PostgresAudit, heads: Heads, clock: Callable[[], float]) -> None:
        self._audit = audit
        self._heads = heads
        self._clock = clock
        self._told = 0
        self._told_at_s: float | None = None

    async def look(self, *, now: bool = False) -> None:
        """Tells the head if it is new, and the last was told an hour ago; with `now` whenever that was."""
        at_s = self._clock()
        if not now and self._told_at_s is not None and at_s - self._told_at_s < TELL_EVERY_S:
            return
        try:
            number, head = await self._audit.head()
            if number != self._told:
                line = await asyncio.to_thread(self._heads.tell, number, head, utc_now())
                log.info("audit head", line=line)
                self._told, self._told_at_s = number, at_s
        except (StorageError, ConfigError) as error:
            log.warning("the audit log's head could not be told", reason=str(error))


async def tell_heads(home: Home, pool: Pool) -> None:
    """Tells the head of the audit log until cancelled: the first entries within a minute, then each hour, and the last
    at the end."""
    telling = Telling(PostgresAudit(pool, utc_now), Heads(home.audit), time.monotonic)
    try:
        while True:
            await telling.look()
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WITHIN_S):
                await telling.look(now=True)


@asynccontextmanager
async def damped(trail: AuditTrail) -> AsyncIterator[DampedTrail]:
    """A trail of the API that damps; what it holds back is entered in time, and all of it at the end."""
    damping = DampedTrail(trail, utc_now)
    async with all_or_none() as tasks:
        flushing = tasks.create_task(damping.run())
        try:
            yield damping
        finally:
            flushing.cancel()
            try:
                await damping.flush(everything=True)
            except StorageError as error:
                log.warning("repeated refusals could not be entered before the end", reason=str(error))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What going through the whole log found.

    Args:
        entries: how many there are.
        heads: how many heads were told outside.
        faults: what is wrong, in words.
    """

    entries: int
    heads: int
    faults: list[str]

    def lines(self) -> list[str]:
        """For a person."""
        if self.faults:
            said = [f"WRONG: {fault}" for fault in self.faults[:MOST_FAULTS]]
            rest = len(self.faults) - len(said)
            return [*said, f"and {rest} more"] if rest else said
        said = [f"{self.entries} entries, each as it was entered; {self.heads} heads told outside agree"]
        unseen = "no head was told outside yet: a log that was written anew as a whole would not show"
        return said if self.heads else [*said, unseen]


async def verify(
    home: Home, storage: Storage, files: list[Path], public_file: Path | None, done: Callable[[int, int], None]
) -> Verdict:
    """Goes through the whole audit log.

    Args:
        home: the installation.
        storage: its database.
        files: heads that were shipped elsewhere; those of the installation itself are used as well.
        public_file: the key that signed them; the installation's own by default.
        done: told now and then how many of how many entries were looked at.

    Raises:
        ConfigError: a file of heads was changed.
    """
    own = Heads(home.audit)
    told: dict[int, bytes] = {}
    for file in [*files, *([own.file] if own.file.exists() else [])]:
        for number, head in read_heads(file, public_file or own.public_file).items():
            if told.setdefault(number, head) != head:
                raise ConfigError(f"{file}: entry {number} has another hash than in the other files of heads")
    audit, check, faults = PostgresAudit(storage.pool, utc_now), Check(told), list[str]()
    last, last_hash = await audit.head()
    async for entry in audit.every():
        if (fault := check.fault(entry)) is not None:
            faults.append(fault)
        if entry.id % STEP == 0:
            done(entry.id, last)
    # Entries may have come since; then the head that was asked for is one in the middle.
    if check.last <= last and (fault := check.end(last, last_hash)) is not None:
        faults.append(fault)
    return Verdict(check.last, len(told), faults)
