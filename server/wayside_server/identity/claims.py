"""Devices that ask before anybody has let them in, and known devices whose certificates have ended.

A device without a token shows a code. Who types the code has seen the device, and the code tells that both ends of the
connection see the same keys: somebody in between, with a CA of their own, makes the device show another one. A listing
therefore shows the beginning of a code only, never enough to claim by.
"""

import ipaddress
from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509

from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.domain.caller import Caller
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.authority import PublicKey, read_request
from wayside_server.identity.enrolment import RevocationList, fresh_device
from wayside_server.identity.issuing import Enrolled, Issuer, KnownCertificate, NameHeldError, Origin, key_der
from wayside_server.identity.issuing import key_sha256 as digest_of
from wayside_server.identity.names import check_device_name, check_group_name
from wayside_server.identity.tokens import name_held, name_taken
from wayside_server.identity.waiting import (
    ClaimStore,
    ClaimTransaction,
    Decision,
    Entry,
    Kind,
    NewEntry,
    Wait,
    WaitBounds,
    WaitExpiredError,
    WaitRefused,
    WaitRefusedError,
)
from wayside_shared.enrolment import CLAIM_LETTERS, claim_code

WAIT_LIFE = timedelta(days=3)
"""A device installed on a Friday is claimed on Monday."""
GIVE_LIFE = timedelta(days=7)
"""How long a consent, or a refusal, stands; a board may be switched off in the meantime."""
RETRY_S = 10
"""While somebody stands before the device and types."""
RETRY_LATER_S = 60
EAGER_FOR = timedelta(minutes=10)
LAST_ENTRY = (1 << 63) - 1
"""Before it lies every one that waits."""
SEEN_EVERY = timedelta(seconds=30)
"""`last_seen` is exact to this, so that asking costs no write each time."""


class Claims:
    """Lets devices wait, and people decide.

    Args:
        issuer: who signs.
        store: where they wait.
        revocations: which certificates count no more.
        trail: the audit trail.
        now: the time, aware.
        bounds: how many may wait.
    """

    def __init__(
        self,
        issuer: Issuer,
        store: ClaimStore,
        revocations: RevocationList,
        trail: AuditTrail,
        now: Callable[[], datetime],
        bounds: WaitBounds | None = None,
    ) -> None:
        self._issuer = issuer
        self._store = store
        self._revocations = revocations
        self._trail = trail
        self._now = now
        self._bounds = bounds or WaitBounds()

    async def ask(self, request: bytes, device: str | None, address: str) -> Enrolled | Wait:
        """What a device without a token gets: its certificate once somebody has consented.

        Args:
            request: PKCS#10 in DER; of it only the key is taken.
            device: the name that it says it has; None when it says none.
            address: where it asks from.

        Raises:
            CertificateRequestError: the request is not taken.
            WaitRefusedError: it does not get in.
            WaitExpiredError: it has waited too long.
            StorageError: nothing happened.
        """
        key = read_request(request)
        now = self._now()
        async with self._store.claims() as transaction:
            entry = await transaction.entry(digest_of(key))
            if entry is not None and entry.expires_at > now:
                return await self._go_on(transaction, entry, key, address)
            if entry is not None:
                await transaction.forget(entry.entry_id)
            if entry is None or entry.decision is Decision.REFUSED or entry.serial is not None:
                return await self._begin(transaction, key, request, device, address)
        raise WaitExpiredError

    async def listed(self, caller: Caller, *, limit: int, before_id: int = LAST_ENTRY) -> list[Entry]:
        """What waits for the caller's consent, with numbers below `before_id`, the latest first.

        What nobody has claimed belongs to no tenant: it is shown where there is one only, and to who installs.
        """
        unclaimed = await self.lists_unclaimed(caller)
        return await self._store.waiting(
            caller.tenant_id, self._now(), unclaimed=unclaimed, before_id=before_id, limit=limit
        )

    async def lists_unclaimed(self, caller: Caller) -> bool:
        """Whether `listed` shows the caller what nobody has claimed."""
        return caller.installs or await self._store.sole_tenant()

    async def claim(
        self, code: str, group: str | None, name: str | None, caller: Caller, *, replace: bool = False
    ) -> str:
        """Lets the device that shows `code` into the caller's tenant; its name.

        Args:
            code: as a person types it: case, spaces and hyphens do not matter.
            group: group of the device, made when missing; None for none.
            name: the device's name; None lets the server make one.
            caller: who claims.
            replace: whether it may take the name of a device that is enrolled, and lock it out.

        Raises:
            ConfigError: code, group or name break their rules, or the name is not to be had.
            NotFoundError: no device that waits shows the code.
        """
        wanted = read_code(code)
        if name is not None:
            check_device_name(name)
        if group is not None:
            check_group_name(group)
        now = self._now()
        async with self._store.claims() as transaction:
            found = [e for e in await transaction.entries_by_code(wanted) if e.expires_at > now]
            # Two with one code: somebody has spent much to take another's place.
            if len(found) != 1 or found[0].kind is not Kind.NEW:
                raise NotFoundError("no device that waits shows this code; compare it with the one on the device")
            (entry,) = found
            group_id = None if group is None else await transaction.group(caller.tenant_id, group)
            device_id, chosen = await _place(transaction, caller.tenant_id, group_id, name, replace=replace)
            await transaction.place(entry.entry_id, caller.tenant_id, group_id, device_id)
            await transaction.decide(entry.entry_id, Decision.APPROVED, caller, now, now + GIVE_LIFE)
            await self._trail.record(_act(caller, "enrolment.claim", f"device:{chosen}", entry, group=group))
        return chosen

    async def approve(self, entry_id: int, caller: Caller) -> str:
        """Consents to the renewal of a known device's certificate; the device's name.

        Raises:
            NotFoundError: nothing of that number waits for the caller.
            ConfigError: it is a new device, which is claimed by its code.
        """
        now = self._now()
        async with self._store.claims() as transaction:
            entry = await self._mine(transaction, entry_id, caller, now)
            if entry.kind is Kind.NEW or entry.device is None:
                raise ConfigError("a new device is let in by the code that it shows; type that")
            await transaction.decide(entry_id, Decision.APPROVED, caller, now, now + GIVE_LIFE)
            await self._trail.record(_act(caller, "enrolment.approve", f"device:{entry.device}", entry))
            return entry.device

    async def refuse(self, entry_id: int, caller: Caller) -> None:
        """Refuses what waits; the device is told so for GIVE_LIFE.

        Raises:
            NotFoundError: nothing of that number waits for the caller.
        """
        now = self._now()
        async with self._store.claims() as transaction:
            entry = await self._mine(transaction, entry_id, caller, now)
            await transaction.decide(entry_id, Decision.REFUSED, caller, now, now + GIVE_LIFE)
            subject = f"device:{entry.device}" if entry.device else f"enrolment:{entry_id}"
            await self._trail.record(_act(caller, "enrolment.refuse", subject, entry))

    async def _mine(self, transaction: ClaimTransaction, entry_id: int, caller: Caller, now: datetime) -> Entry:
        entry = await transaction.entry_by_id(entry_id)
        if entry is not None and entry.decision is Decision.WAITING and entry.expires_at > now:
            if entry.tenant_id == caller.tenant_id:
                return entry
            if entry.tenant_id is None and await self.lists_unclaimed(caller):
                return entry
        raise NotFoundError(f"nothing with the number {entry_id} waits here; reload the list")

    async def _begin(
        self, transaction: ClaimTransaction, key: PublicKey, request: bytes, device: str | None, address: str
    ) -> Wait:
        now = self._now()
        known = await self._known(transaction, digest_of(key), device)
        new = NewEntry(
            kind=Kind.NEW if known is None else Kind.RENEWAL,
            key_sha256=digest_of(key),
            csr=request,
            codes=tuple(claim_code(print_, key_der(key)) for print_ in self._issuer.fingerprints),
            address=address,
            network=network_of(address),
            at=now,
            expires_at=now + WAIT_LIFE,
            tenant_id=None if known is None else known.tenant_id,
            device_id=None if known is None else known.device_id,
        )
        return Wait(RETRY_S, await transaction.wait(new, self._bounds))

    async def _known(
        self, transaction: ClaimTransaction, key_sha256: bytes, device: str | None
    ) -> KnownCertificate | None:
        """The latest certificate of the key, if it is a device's that may be renewed; None for a new key."""
        certificates = await transaction.by_key(key_sha256)
        if not certificates:
            if device is not None:
                raise WaitRefusedError(WaitRefused.UNKNOWN_KEY)
            return None
        latest = certificates[0]
        if device is not None and device != latest.device:
            raise WaitRefusedError(WaitRefused.UNKNOWN_KEY, latest)
        if latest.replaced or await self._any_revoked(certificates):
            raise WaitRefusedError(WaitRefused.BAD_KEY, latest)
        return latest

    async def _any_revoked(self, certificates: list[KnownCertificate]) -> bool:
        for one in certificates:
            if await self._revocations.is_revoked(one.serial):
                return True
        return False

    async def _go_on(
        self, transaction: ClaimTransaction, entry: Entry, key: PublicKey, address: str
    ) -> Enrolled | Wait:
        now = self._now()
        if entry.decision is Decision.REFUSED:
            raise WaitRefusedError(WaitRefused.REFUSED)
        if entry.decision is Decision.WAITING:
            if now - entry.last_seen >= SEEN_EVERY:
                await transaction.seen(entry.entry_id, address, now)
            return Wait(RETRY_S if now - entry.first_seen < EAGER_FOR else RETRY_LATER_S)
        assert entry.device_id is not None, "whoever consents says to which device"
        assert entry.device is not None, "a device has a name"
        if entry.kind is Kind.RENEWAL:
            await self._known(transaction, digest_of(key), None)
        if entry.serial is not None:
            known = await transaction.by_serial(entry.serial)
            if known is None or known.der is None or await self._revocations.is_revoked(entry.serial):
                raise WaitRefusedError(WaitRefused.BAD_KEY, known)
            return Enrolled(entry.device, x509.load_der_x509_certificate(known.der))
        origin = Origin.CLAIM if entry.kind is Kind.NEW else Origin.RENEWAL
        enrolled = await self._issuer.issue(transaction, (entry.device_id, entry.device), key, origin, now)
        await transaction.given(entry.entry_id, enrolled.certificate.serial_number)
        subject = f"device:{entry.device}"
        await self._trail.record(
            Act(subject, "certificate.issue", subject, entry.tenant_id, address, detail=enrolled.told())
        )
        return enrolled


def read_code(text: str) -> str:
    """The claim code in `text`, as `claim_code` gives it.

    Raises:
        ConfigError: it is none.
    """
    letters = "".join(text.upper().replace("-", " ").split())
    if len(letters) != CLAIM_LETTERS or not set(letters) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"):
        raise ConfigError("a code has twelve letters and digits, as XXXX-XXXX-XXXX; type what the device shows")
    return letters


def network_of(address: str) -> str:
    """By what the number of strangers is bounded: an IPv4 address, the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


async def _place(
    transaction: ClaimTransaction, tenant_id: int, group_id: int | None, name: str | None, *, replace: bool
) -> tuple[int, str]:
    if name is None:
        return await fresh_device(transaction, tenant_id, group_id)
    try:
        number = await transaction.join_device(name, tenant_id, group_id, replace=replace)
    except NameHeldError as error:
        raise ConfigError(name_held(name, revoked=error.revoked)) from None
    if number is None:
        raise ConfigError(name_taken(name))
    return number, name


def _act(caller: Caller, action: str, subject: str, entry: Entry, *, group: str | None = None) -> Act:
    detail = {"from": entry.address, "kind": entry.kind.value, "group": group}
    return Act(caller.actor, action, subject, caller.tenant_id, caller.address, detail=detail)
