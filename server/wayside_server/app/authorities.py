"""What a person does to the installation's certificate authorities; each gives lines to show."""

import asyncio
import getpass
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from wayside_server.app import Storage, utc_now
from wayside_server.app.jobs import list_publisher
from wayside_server.config import ServerSettings
from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.errors import ConfigError
from wayside_server.identity import rollover
from wayside_server.identity.broker_process import BrokerNotFoundError, find_broker
from wayside_server.identity.crl import key_identifier
from wayside_server.identity.home import Home, read_whole
from wayside_server.identity.publication import ListWatch
from wayside_server.storage.certificates import PostgresCertificates

RESTARTED_WITHIN_S = 30.0
"""systemd starts a broker again after a second (RestartSec= of its unit)."""
_LOOK_S = 0.2


async def status(home: Home, storage: Storage) -> list[str]:
    """Which CAs there are, and what a rollover waits for.

    Raises:
        ConfigError: files are missing or broken.
        StorageError: the database is away.
    """
    found = rollover.authorities(home)
    lines = [f"root:       {_described(found.current)}"]
    if (home.ca / "root.key").exists():
        lines.append(f"            its key is on this machine: {home.ca / 'root.key'}; it is not needed to run")
    if found.following is not None:
        lines += [f"next root:  {_described(found.following)}", await _waiting(home, storage)]
    if found.broker_is_behind:
        lines.append("broker:     runs since before its roots changed; restart it: systemctl restart wayside-broker")
    elif found.broker_is_behind is None:
        lines.append("broker:     none of this installation runs here, or another account runs it")
    complaint = ListWatch(home, utc_now).complaint()
    return [*lines, f"revocation: {complaint or 'the list is renewed in time'}"]


async def roll(home: Home, settings: ServerSettings, storage: Storage, *, restart_broker: bool) -> list[str]:
    """Begins a rollover.

    Raises:
        ConfigError: one is under way, or files cannot be read or written.
    """
    found = await rollover.roll(home, utc_now(), partial(_record, storage.audit, "ca.roll"))
    assert found.following is not None, "it was just made"
    list_publisher(home, settings).renew()
    return [
        f"next root:  {_described(found.following)}",
        f"keep a copy of {home.next_ca}, and move root.key off this machine",
        *(await _roots_changed(home, restart=restart_broker)),
        "then restart the server: it issues devices' certificates from the new CA from then on",
        "when every device has renewed its certificate: wayside-server ca finish",
    ]


async def finish(home: Home, settings: ServerSettings, storage: Storage, *, restart_broker: bool) -> list[str]:
    """Ends a rollover.

    Raises:
        ConfigError: none is under way, devices are not ready, or files cannot be read or written.
        StorageError: the database is away.
    """
    certificates = PostgresCertificates(storage.pool)
    retired = await rollover.finish(home, certificates, utc_now(), partial(_record, storage.audit, "ca.finish"))
    rollover.complete(home, utc_now())
    list_publisher(home, settings).renew()
    return [
        f"root:       {_described(rollover.authorities(home).current)}",
        f"the old CA is in {retired}; nothing reads it, destroy its keys",
        *(await _roots_changed(home, restart=restart_broker)),
        "then restart the server; enrolment tokens made before are no good any more",
    ]


async def _roots_changed(home: Home, *, restart: bool) -> list[str]:
    """A broker reads roots only when it starts."""
    by_hand = "restart the broker, which reads roots only then: systemctl restart wayside-broker"
    if not restart:
        return [by_hand]
    try:
        before = find_broker(home)
        before.end()
    except BrokerNotFoundError as error:
        return [f"the broker was not restarted ({error})", by_hand]
    try:
        async with asyncio.timeout(RESTARTED_WITHIN_S):
            # Nobody tells of the start of another's process.
            while not _is_another(home, before.pid):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
    except TimeoutError as error:
        raise ConfigError(
            f"the broker was ended and nobody started it within {RESTARTED_WITHIN_S:.0f} s; start it: "
            f"mosquitto -c {home.broker_config}"
        ) from error
    return ["the broker was restarted"]


def _is_another(home: Home, pid: int) -> bool:
    try:
        return find_broker(home).pid != pid
    except BrokerNotFoundError:
        return False


async def _waiting(home: Home, storage: Storage) -> str:
    issuing = x509.load_pem_x509_certificate(read_whole(home.next_ca / "intermediate.pem"))
    certificates = PostgresCertificates(storage.pool)
    count, names = await certificates.only_of_others(key_identifier(issuing), utc_now(), rollover.SHOWN_DEVICES)
    if not count:
        return "devices:    all have certificates of the new CA; wayside-server ca finish"
    more = f" and {count - len(names)} more" if count > len(names) else ""
    return f"devices:    {count} have only certificates of the old CA: {', '.join(names)}{more}"


def _described(root: x509.Certificate) -> str:
    return f"{root.fingerprint(hashes.SHA256()).hex()[:16]}…, until {root.not_valid_after_utc:%Y-%m-%d}"


async def _record(trail: AuditTrail, action: str) -> None:
    await trail.record(Act(f"command line:{getpass.getuser()}", action, "installation", None))
