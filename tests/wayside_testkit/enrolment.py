"""Enrolment in memory, which passes the same contract suite as PostgreSQL's, and what tests of it need."""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from wayside_server.domain.audit import Act
from wayside_server.domain.caller import Caller
from wayside_server.identity.authority import Authority, PrivateKey, create_authority, new_key
from wayside_server.identity.claims import Claims
from wayside_server.identity.enrolment import Enrolments, EnrolmentTransaction
from wayside_server.identity.issuing import (
    Enrolled,
    Issue,
    Issuer,
    KnownCertificate,
    NameHeldError,
    TenantFullError,
    key_der,
)
from wayside_server.identity.tokens import Holder, NewToken, StoredToken, TokenOrder, TokenRecord, Tokens
from wayside_server.identity.waiting import (
    ClaimTransaction,
    Decision,
    Entry,
    NewEntry,
    Wait,
    WaitBounds,
)
from wayside_server.storage.database import Pool, connection
from wayside_server.storage.enrolment import PostgresEnrolment
from wayside_shared.enrolment import claim_code

OPERATOR = Caller("person:ada", 1, "192.0.2.7")


def certificate_request(key: PrivateKey | None = None, name: str | None = None) -> bytes:
    """A PKCS#10 request in DER; `name` is the common name that it asks for."""
    oid = x509.oid.NameOID.COMMON_NAME
    subject = x509.Name([] if name is None else [x509.NameAttribute(oid, name, _validate=False)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class MemoryTrail:
    """An audit trail that can be looked at."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    async def record(self, act: Act) -> None:
        """As `AuditTrail`."""
        self.acts.append(act)


class RevokedSerials:
    """A revocation list that tests write to."""

    def __init__(self) -> None:
        self.serials: set[int] = set()

    async def is_revoked(self, serial: int) -> bool:
        """As `RevocationList`."""
        return serial in self.serials


@dataclass
class _Device:
    number: int
    tenant_id: int
    group_id: int | None
    revoked: bool = False


@dataclass
class _Token:
    number: int
    tenant_id: int
    new: NewToken
    uses: int = 0
    revoked_at: datetime | None = None


@dataclass
class _Certificate:
    issue: Issue
    superseded_at: datetime | None = None
    revoked: bool = False


@dataclass
class _Waiting:
    new: NewEntry
    entry: Entry


@dataclass
class _Tables:
    tenants: dict[str, int] = field(default_factory=lambda: {"default": 1})
    groups: dict[tuple[int, str], int] = field(default_factory=dict)
    devices: dict[str, _Device] = field(default_factory=dict)
    tokens: dict[bytes, _Token] = field(default_factory=dict)
    certificates: list[_Certificate] = field(default_factory=list)
    waiting: dict[int, _Waiting] = field(default_factory=dict)
    numbers: int = 0

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def group(self, tenant_id: int, name: str) -> int:
        return self.groups.setdefault((tenant_id, name), len(self.groups) + 1)

    def device_name(self, number: int | None) -> str | None:
        return next((name for name, device in self.devices.items() if device.number == number), None)


class MemoryEnrolment:
    """`TokenStore`, `EnrolmentStore` and `ClaimStore` in memory."""

    def __init__(self) -> None:
        self.tables = _Tables()
        self.most_devices = 1_000_000
        self._lock = asyncio.Lock()

    async def add_tenant(self, name: str) -> int:
        """A further tenant."""
        return self.tables.tenants.setdefault(name, len(self.tables.tenants) + 1)

    async def revoke_device(self, name: str) -> None:
        """Notes that a device was revoked."""
        self.tables.devices[name].revoked = True

    async def remove_device(self, name: str) -> None:
        """Removes a device and its certificates."""
        number = self.tables.devices.pop(name).number
        self.tables.certificates = [c for c in self.tables.certificates if c.issue.device_id != number]

    async def group_of(self, device: str) -> str | None:
        """The name of the device's group."""
        number = self.tables.devices[device].group_id
        return next((name for (_, name), found in self.tables.groups.items() if found == number), None)

    async def certificates(self) -> list[int]:
        """Serial numbers of all certificates."""
        return [c.issue.certificate.serial_number for c in self.tables.certificates]

    async def tenant_id(self, name: str) -> int | None:
        return self.tables.tenants.get(name)

    async def add_tokens(self, tenant_id: int, tokens: Sequence[NewToken], told: Callable[[int], None]) -> list[int]:
        made = []
        for new in tokens:
            if new.group is not None:
                self.tables.group(tenant_id, new.group)
            token = self.tables.tokens[new.digest] = _Token(self.tables.number(), tenant_id, new)
            made.append(token.number)
        told(len(made))
        return made

    async def holders(self, names: Sequence[str]) -> dict[str, Holder]:
        found = self.tables.devices
        return {name: Holder(found[name].tenant_id, found[name].revoked) for name in names if name in found}

    async def list_tokens(self, tenant_id: int, *, before_id: int, limit: int) -> list[TokenRecord]:
        tokens = [t for t in self.tables.tokens.values() if t.tenant_id == tenant_id and t.number < before_id]
        tokens.sort(key=lambda t: -t.number)
        return [_record(token) for token in tokens[:limit]]

    async def revoke_token(self, tenant_id: int, token_id: int, now: datetime) -> bool:
        for token in self.tables.tokens.values():
            if (token.tenant_id, token.number) == (tenant_id, token_id):
                token.revoked_at = token.revoked_at or now
                return True
        return False

    async def sole_tenant(self) -> bool:
        return len(self.tables.tenants) == 1

    async def waiting(
        self, tenant_id: int, now: datetime, *, unclaimed: bool, before_id: int, limit: int
    ) -> list[Entry]:
        entries = [w.entry for w in self.tables.waiting.values()]
        shown = [
            e
            for e in entries
            if e.decision is Decision.WAITING
            and e.expires_at > now
            and e.entry_id < before_id
            and (e.tenant_id == tenant_id or (unclaimed and e.tenant_id is None))
        ]
        return sorted(shown, key=lambda e: e.entry_id, reverse=True)[:limit]

    @asynccontextmanager
    async def enrolment(self) -> AsyncIterator[EnrolmentTransaction]:
        async with self._begun() as transaction:
            yield transaction

    @asynccontextmanager
    async def claims(self) -> AsyncIterator[ClaimTransaction]:
        async with self._begun() as transaction:
            yield transaction

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator["_Transaction"]:
        async with self._lock:
            before = copy.deepcopy(self.tables, {})
            try:
                yield _Transaction(self)
            except BaseException:
                self.tables = before
                raise


class ProbedEnrolment(PostgresEnrolment):
    """PostgreSQL's, with what tests arrange and look at as in memory."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._probed = pool

    async def add_tenant(self, name: str) -> int:
        """A further tenant."""
        return int(str((await self._ask("INSERT INTO tenant (name, title) VALUES (%s, 'x') RETURNING id", name))[0]))

    async def revoke_device(self, name: str) -> None:
        """Notes that a device was revoked."""
        async with connection(self._probed) as conn:
            await conn.execute("UPDATE device SET revoked_at = now() WHERE name = %s", [name])

    async def remove_device(self, name: str) -> None:
        """Removes a device and its certificates."""
        async with connection(self._probed) as conn:
            number = "(SELECT id FROM device WHERE name = %s)"
            await conn.execute(f"UPDATE enrolment_token SET device_id = NULL WHERE device_id = {number}", [name])
            await conn.execute(f"DELETE FROM certificate WHERE device_id = {number}", [name])
            await conn.execute("DELETE FROM device WHERE name = %s", [name])

    async def group_of(self, device: str) -> str | None:
        """The name of the device's group."""
        found = "SELECT max(g.name) FROM device d JOIN device_group g ON g.id = d.group_id WHERE d.name = %s"
        name = (await self._ask(found, device))[0]
        return None if name is None else str(name)

    async def certificates(self) -> list[int]:
        """Serial numbers of all certificates."""
        async with connection(self._probed) as conn:
            rows = await (await conn.execute("SELECT serial FROM certificate ORDER BY created_at")).fetchall()
        return [int(str(row[0])) for row in rows]

    async def _ask(self, statement: str, value: str) -> tuple[object, ...]:
        async with connection(self._probed) as conn:
            row = await (await conn.execute(statement, [value])).fetchone()
        assert row is not None
        return row


class _Transaction:
    def __init__(self, store: MemoryEnrolment) -> None:
        self._store = store

    @property
    def _tables(self) -> _Tables:
        return self._store.tables

    async def token(self, digest: bytes) -> StoredToken | None:
        await asyncio.sleep(0)
        token = self._tables.tokens.get(digest)
        if token is None:
            return None
        new = token.new
        group_id = None if new.group is None else self._tables.group(token.tenant_id, new.group)
        return StoredToken(
            token_id=token.number,
            tenant_id=token.tenant_id,
            group_id=group_id,
            device_name=new.name,
            name_prefix=new.prefix,
            expires_at=new.expires_at,
            uses=token.uses,
            max_uses=new.max_uses,
            revoked=token.revoked_at is not None,
            replaces=token.new.replaces,
        )

    async def use_token(self, token_id: int, device_id: int, now: datetime) -> None:
        (token,) = (t for t in self._tables.tokens.values() if t.number == token_id)
        token.uses += 1

    async def join_device(self, name: str, tenant_id: int, group_id: int | None, *, replace: bool) -> int | None:
        made = await self.new_device(name, tenant_id, group_id)
        device = self._tables.devices[name]
        if made is not None or device.tenant_id != tenant_id:
            return made
        if device.revoked or not replace:
            raise NameHeldError(revoked=device.revoked)
        device.group_id = device.group_id if group_id is None else group_id
        return device.number

    async def new_device(self, name: str, tenant_id: int, group_id: int | None) -> int | None:
        if name in self._tables.devices:
            return None
        if len(self._tables.devices) >= self._store.most_devices:
            raise TenantFullError
        device = self._tables.devices[name] = _Device(self._tables.number(), tenant_id, group_id)
        return device.number

    async def last_number(self, prefix: str) -> int:
        ends = (name.removeprefix(prefix) for name in self._tables.devices if name.startswith(prefix))
        return max((int(end) for end in ends if end.isdigit() and not end.startswith("0")), default=0)

    async def by_key(self, key_sha256: bytes) -> list[KnownCertificate]:
        found = [self._known(c) for c in self._tables.certificates if c.issue.key_sha256 == key_sha256]
        return sorted(found, key=lambda known: known.created_at, reverse=True)

    async def by_serial(self, serial: int) -> KnownCertificate | None:
        found = (c for c in self._tables.certificates if c.issue.certificate.serial_number == serial)
        return next((self._known(c) for c in found), None)

    async def issued_since(self, device_id: int, since: datetime) -> int:
        return len([c for c in self._tables.certificates if c.issue.device_id == device_id and c.issue.at > since])

    async def issued(self, issue: Issue) -> int:
        others = [one for one in self._tables.certificates if one.issue.device_id == issue.device_id]
        for other in others:
            other.superseded_at = other.superseded_at or issue.at
        self._tables.certificates.append(_Certificate(issue))
        if not issue.origin.replaces:
            return 0
        replaced = [
            other
            for other in others
            if other.issue.key_sha256 != issue.key_sha256
            and other.issue.certificate.not_valid_after_utc > issue.at
            and not other.revoked
        ]
        for other in replaced:
            other.revoked = True
        return len(replaced)

    async def still_renews(self, serial: int, now: datetime) -> None:
        for one in self._tables.certificates:
            if one.issue.certificate.serial_number == serial:
                one.superseded_at = now

    async def entry(self, key_sha256: bytes) -> Entry | None:
        found = (w.entry for w in self._tables.waiting.values() if w.new.key_sha256 == key_sha256)
        return next(found, None)

    async def entry_by_id(self, entry_id: int) -> Entry | None:
        found = self._tables.waiting.get(entry_id)
        return None if found is None else found.entry

    async def entries_by_code(self, code: str) -> list[Entry]:
        entries = (w.entry for w in self._tables.waiting.values())
        return [e for e in entries if e.decision is Decision.WAITING and code in e.codes]

    async def wait(self, new: NewEntry, bounds: WaitBounds) -> int:
        lapsed = [n for n, w in self._tables.waiting.items() if w.entry.expires_at <= new.at - timedelta(days=1)]
        for number in lapsed:
            del self._tables.waiting[number]
        displaced = self._make_room(new.network, bounds)
        number = self._tables.number()
        device = self._tables.device_name(new.device_id)
        entry = Entry(
            entry_id=number,
            kind=new.kind,
            codes=new.codes,
            address=new.address,
            first_seen=new.at,
            last_seen=new.at,
            expires_at=new.expires_at,
            decision=Decision.WAITING,
            tenant_id=new.tenant_id,
            device_id=new.device_id,
            device=device,
            serial=None,
        )
        self._tables.waiting[number] = _Waiting(new, entry)
        return displaced

    def _make_room(self, network: str, bounds: WaitBounds) -> int:
        def oldest(of: str | None = None) -> list[_Waiting]:
            found = [
                w
                for w in self._tables.waiting.values()
                if w.entry.decision is Decision.WAITING and of in (None, w.new.network)
            ]
            return sorted(found, key=lambda w: (w.entry.first_seen, w.entry.entry_id))

        gone = 0
        while len(mates := oldest(network)) >= bounds.network:
            del self._tables.waiting[mates[0].entry.entry_id]
            gone += 1
        while len(every := oldest()) >= bounds.every:
            networks = [w.new.network for w in every]
            most = max(set(networks), key=networks.count)
            victim = next(w for w in every if networks.count(w.new.network) == networks.count(most))
            del self._tables.waiting[victim.entry.entry_id]
            gone += 1
        return gone

    async def seen(self, entry_id: int, address: str, now: datetime) -> None:
        self._change(entry_id, last_seen=now, address=address)

    async def forget(self, entry_id: int) -> None:
        del self._tables.waiting[entry_id]

    async def decide(self, entry_id: int, decision: Decision, caller: Caller, now: datetime, until: datetime) -> None:
        self._change(entry_id, decision=decision, expires_at=until)

    async def place(self, entry_id: int, tenant_id: int, group_id: int | None, device_id: int) -> None:
        name = self._tables.device_name(device_id)
        self._change(entry_id, tenant_id=tenant_id, device_id=device_id, device=name)

    async def given(self, entry_id: int, serial: int) -> None:
        self._change(entry_id, serial=serial)

    async def group(self, tenant_id: int, name: str) -> int:
        return self._tables.group(tenant_id, name)

    def _change(self, entry_id: int, **values: object) -> None:
        waiting = self._tables.waiting[entry_id]
        waiting.entry = replace(waiting.entry, **values)  # type: ignore[arg-type]

    def _known(self, certificate: _Certificate) -> KnownCertificate:
        issue = certificate.issue
        device = self._tables.device_name(issue.device_id)
        assert device is not None
        replaced = any(
            other.issue.device_id == issue.device_id
            and other.issue.at > issue.at
            and other.issue.origin.replaces
            and other.issue.key_sha256 != issue.key_sha256
            for other in self._tables.certificates
        )
        return KnownCertificate(
            serial=issue.certificate.serial_number,
            device_id=issue.device_id,
            device=device,
            tenant_id=self._tables.devices[device].tenant_id,
            created_at=issue.at,
            superseded_at=certificate.superseded_at,
            replaced=replaced,
            der=issue.certificate.public_bytes(serialization.Encoding.DER),
        )


def _record(token: _Token) -> TokenRecord:
    new = token.new
    return TokenRecord(
        token_id=token.number,
        name=new.name,
        prefix=new.prefix,
        group=new.group,
        uses=token.uses,
        max_uses=new.max_uses,
        label=new.label,
        created_by=new.created_by,
        created_at=new.created_at,
        expires_at=new.expires_at,
        revoked_at=token.revoked_at,
    )


Store: TypeAlias = MemoryEnrolment | ProbedEnrolment
HOUR = timedelta(hours=1)
ONE = TokenOrder(life=HOUR)
HERE = "192.0.2.9"


class EnrolmentSite:
    """Every service on one store, with a clock that stands until it is moved."""

    def __init__(self, store: Store) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)
        self.store = store
        self.trail = MemoryTrail()
        self.revoked = RevokedSerials()
        root, intermediate = create_authority(self.time)
        self.authority = Authority(root.certificate, intermediate)
        issuer = Issuer(self.authority, 90)
        parts = issuer, store, self.revoked, self.trail, self.now
        self.tokens = Tokens(self.authority.fingerprint, store, self.trail, self.now)
        self.enrolments = Enrolments(*parts)
        self.claims = Claims(*parts, WaitBounds(network=5, every=12))

    def now(self) -> datetime:
        return self.time

    async def token(self, order: TokenOrder = ONE, caller: Caller = OPERATOR) -> bytes:
        """The digest of a new token."""
        return (await self.tokens.create(order, caller)).digest

    async def enrol(self, order: TokenOrder = ONE, key: PrivateKey | None = None) -> Enrolled:
        return await self.enrolments.enrol(await self.token(order), certificate_request(key), HERE)

    def code(self, key: PrivateKey) -> str:
        return claim_code(self.authority.fingerprint, key_der(key.public_key()))

    async def ask(self, key: PrivateKey, device: str | None = None, address: str = HERE) -> Enrolled | Wait:
        return await self.claims.ask(certificate_request(key), device, address)

    async def listed(self, caller: Caller = OPERATOR) -> list[int]:
        """The numbers of the tenant's tokens."""
        return [record.token_id for record in await self.tokens.listed(caller, before_id=1 << 31, limit=100)]
