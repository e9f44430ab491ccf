"""Revocation lists on their way: signed when something is revoked or a day has passed, written, told to the broker.

An expired list makes a broker refuse every device, so the list is signed again even when the database is away: the one
on disk says who is revoked.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from wayside_server.errors import ConfigError
from wayside_server.identity.broker_process import BrokerNotFoundError, find_broker
from wayside_server.identity.crl import Lists, Revoked, key_identifier, read_lists, sign_lists
from wayside_server.identity.home import Home, write_whole
from wayside_server.identity.installation import load_signers
from wayside_server.identity.revocation import RevocationStore

log = structlog.get_logger(__name__)

RENEWALS = 7
"""A list is renewed when this part of its life has passed: daily, when it lives for a week."""
ALARM_LEFT = 0.5
"""Below this part of its life a list should long have been renewed; half a week is left to see to it."""


@dataclass(frozen=True, slots=True)
class Published:
    """What came of a look at the lists.

    Args:
        lists: what is on disk now.
        signed: whether they are new.
        told: whether the broker was told of a new file; None when there was none to tell of.
    """

    lists: Lists
    signed: bool
    told: bool | None


class ListPublisher:
    """Keeps the revocation lists of one installation.

    Args:
        home: the installation.
        life: of a list.
        now: the time, aware.
    """

    def __init__(self, home: Home, life: timedelta, now: Callable[[], datetime]) -> None:
        self._home = home
        self._life = life
        self._now = now
        self._said_no_broker = False

    async def publish(self, store: RevocationStore) -> Published:
        """Brings the lists on disk to what `store` says.

        Raises:
            StorageError: nothing was signed; `renew` can be.
            ConfigError: a file cannot be read or written.
        """
        async with store.publishing() as transaction:
            now = self._now()
            revoked = await transaction.revoked(now)
            # The file is written before the commit: if that fails, its number is above the database's, and the next
            # list's above both. Nothing is awaited while others wait for the file.
            with self._alone():
                found = self._readable()
                kept = read_lists(transaction.pem, "the database") if transaction.pem else None
                unknown = _forgotten(revoked, kept, found, transaction.number)
                revoked = [*revoked, *unknown]
                if kept is not None and not self._due(kept, found, revoked, now):
                    return self._write(transaction.pem, signed=False)
                number = max(transaction.number, 0 if found is None else found.number) + 1
                pem = sign_lists(load_signers(self._home), revoked, number, now, self._life)
                published = self._write(pem, signed=True)
            if unknown:
                log.warning("the database has forgotten revocations that the list on disk has", count=len(unknown))
                await transaction.adopt(unknown)
            await transaction.keep(number, pem)
            return published

    def renew(self, when_left: float | None = None) -> Published | None:
        """Signs what is on disk anew, without the database.

        Args:
            when_left: only if no more than this part of its life is left, or an issuing CA has none; None for always.

        Returns:
            What was published; None when enough of its life is left.

        Raises:
            ConfigError: a file cannot be read or written, or there is no list that could be renewed.
        """
        with self._alone():
            found, now = self.on_disk(), self._now()
            if found is None:
                raise ConfigError(f"{self._home.revocation_list} is missing; run wayside-server init")
            good = when_left is not None and found.life_left(now) > when_left
            if good and found.issuers == _issuers(self._home):
                return None
            # The database's next list gets a number above this one.
            signers = load_signers(self._home)
            pem = sign_lists(signers, list(found.revoked.values()), found.number + 1, now, self._life)
            return self._write(pem, signed=True)

    def on_disk(self) -> Lists | None:
        """What the file says; None when it is missing.

        Raises:
            ConfigError: it is broken.
        """
        return read_list_file(self._home)

    def _due(self, kept: Lists, found: Lists | None, revoked: Sequence[Revoked], now: datetime) -> bool:
        return (
            kept.life_left(now) <= 1 - 1 / RENEWALS
            or kept.next_update - now > self._life
            or {one.serial: one.reason for one in revoked} != {s: one.reason for s, one in kept.revoked.items()}
            or kept.issuers != _issuers(self._home)
            or (found is not None and found.number > kept.number)
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Commands and roles on this machine write one after the other."""
        try:
            # The folder itself: a lock file that root has made would shut the server's account out.
            folder = os.open(self._home.tls, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"cannot open {self._home.tls}: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _readable(self) -> Lists | None:
        try:
            return self.on_disk()
        except ConfigError as error:
            log.error("the revocation list on disk is broken, writing another", reason=str(error))
            return None

    def _write(self, pem: bytes, signed: bool) -> Published:
        lists = read_lists(pem, "the new list")
        file = self._home.revocation_list
        if self._holds(file, pem):
            return Published(lists, signed, None)
        write_whole(file, pem)
        told = self._tell_broker()
        log.info("revocation list published", number=lists.number, revoked=len(lists.revoked), broker_told=told)
        return Published(lists, signed, told)

    def _holds(self, file: Path, pem: bytes) -> bool:
        try:
            return file.read_bytes() == pem
        except OSError:
            # Writing it says what is wrong.
            return False

    def _tell_broker(self) -> bool:
        try:
            find_broker(self._home).reload()
        except BrokerNotFoundError as error:
            if not self._said_no_broker:
                log.warning("the broker was not told of the revocation list", reason=str(error))
                self._said_no_broker = True
            return False
        self._said_no_broker = False
        return True


def read_list_file(home: Home) -> Lists | None:
    """What the lists on disk say; None when there are none.

    Raises:
        ConfigError: the file is broken or cannot be read.
    """
    try:
        pem = home.revocation_list.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {home.revocation_list}: {error.strerror}") from error
    return read_lists(pem, str(home.revocation_list))


class ListWatch:
    """Looks at the lists on disk whenever it is asked; the file is read only when it has changed.

    Args:
        home: the installation.
        now: the time, aware.
    """

    def __init__(self, home: Home, now: Callable[[], datetime]) -> None:
        self._home = home
        self._now = now
        self._version: tuple[int, int] | None = None
        self._lists: Lists | None = None

    def lists(self) -> Lists | None:
        """What the file says; None when there is none.

        Raises:
            ConfigError: it is broken.
        """
        try:
            status = self._home.revocation_list.stat()
        except FileNotFoundError:
            return None
        version = status.st_mtime_ns, status.st_ino
        if version != self._version:
            self._lists = read_list_file(self._home)
            self._version = version
        return self._lists

    def complaint(self) -> str | None:
        """What is wrong with the lists, in a sentence without its full stop; None when they are well."""
        try:
            lists = self.lists()
        except ConfigError as error:
            return error.message
        if lists is None:
            return "there is no revocation list; run wayside-server init"
        now = self._now()
        left_h = (lists.next_update - now) / timedelta(hours=1)
        if left_h <= 0:
            return "the revocation list has expired: the broker refuses every device; see that wayside-server runs"
        if lists.life_left(now) < ALARM_LEFT:
            return (
                f"the revocation list ends in {left_h:.0f} hours, and from then on the broker refuses every device; "
                "wayside-server renews it daily where its role jobs runs"
            )
        return None


def _issuers(home: Home) -> frozenset[bytes]:
    return frozenset(key_identifier(signer.certificate) for signer in load_signers(home))


def _forgotten(revoked: Sequence[Revoked], kept: Lists | None, found: Lists | None, number: int) -> Sequence[Revoked]:
    """What only a list on disk knows that is newer than the database's `number`: that one was restored, or is behind.

    What the database has once published, and does not name any more, it has released on purpose.
    """
    if found is None or found.number <= number:
        return []
    known = {one.serial for one in revoked} | (set() if kept is None else kept.revoked.keys())
    return [one for serial, one in found.revoked.items() if serial not in known]
