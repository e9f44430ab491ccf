"""Enrolment tokens: whoever has one lets devices into a tenant, as many and for as long as it says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.domain.caller import Caller
from wayside_server.errors import ConfigError, NotFoundError, WaysideError
from wayside_server.identity.names import check_device_name, check_group_name, check_prefix
from wayside_shared.enrolment import EnrolmentToken, new_token

MAX_USES = 10_000
MAX_LIFE = timedelta(days=30)
"""A token that lies around for longer is found by somebody."""
MAX_LABEL = 200


class TokenFault(Enum):
    """Why a token was not taken. Whoever asks holds a secret of 256 bits, so telling gives nothing away."""

    UNKNOWN = "the enrolment token is not known to this server; make one with wayside-server token create"
    USED = "the enrolment token was used before; make a new one with wayside-server token create"
    EXPIRED = "the enrolment token has expired; make a new one with wayside-server token create"
    REVOKED = "the enrolment token was revoked; make a new one with wayside-server token create"
    NAME = "the enrolment token gives a name that may not be used any more; make one with another name"
    HELD = "another board has the name that the enrolment token gives; make a token that says that it is replaced"
    DEVICE_REVOKED = "the device that the enrolment token names was revoked; have it restored, or take another name"


class TokenRefusedError(WaysideError):
    """The enrolment token is not good; `fault` says why, `token` which one it is when it is known."""

    def __init__(self, fault: TokenFault, token: "StoredToken | None" = None) -> None:
        self.fault = fault
        self.token = token
        super().__init__(fault.value)


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """What a new token is to be good for.

    Args:
        life: how long, at most MAX_LIFE.
        name: the device's name; only for one use.
        prefix: devices are named this and a number, as in `greenhouse-1`; without name and prefix the server makes
            names up.
        group: group of the devices, which is made when missing; None for none.
        uses: how many devices, 1 to MAX_USES.
        label: what people call it.
        replace: whether another board may take the name of a device that is enrolled, and lock it out.
    """

    life: timedelta
    name: str | None = None
    prefix: str | None = None
    group: str | None = None
    uses: int = 1
    label: str = ""
    replace: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """The device that has a name.

    Args:
        tenant_id: whose it is.
        revoked: whether it was revoked.
    """

    tenant_id: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be kept; `prefix` ends with a hyphen, times are UTC."""

    digest: bytes
    name: str | None
    prefix: str | None
    group: str | None
    max_uses: int
    label: str
    replaces: bool
    created_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as a transaction has it, while no other has.

    Args:
        token_id: the store's own number for it.
        tenant_id: whose devices it makes.
        group_id: of which group; None for none.
        device_name: the name that it gives; None lets the server make one.
        name_prefix: what made names begin with.
        expires_at: UTC.
        uses: how many devices it has made.
        max_uses: how many it may.
        revoked: whether it was ended.
        replaces: whether the name may be an enrolled device's, whose board is then locked out.
    """

    token_id: int
    tenant_id: int
    group_id: int | None
    device_name: str | None
    name_prefix: str | None
    expires_at: datetime
    uses: int
    max_uses: int
    revoked: bool
    replaces: bool


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it is listed; its secret is known to nobody any more. Times are UTC."""

    token_id: int
    name: str | None
    prefix: str | None
    group: str | None
    uses: int
    max_uses: int
    label: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """`good`, `used`, `expired` or `revoked` at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        if self.uses >= self.max_uses:
            return "used"
        return "expired" if self.expires_at <= now else "good"


class TokenStore(Protocol):
    """Where tokens are kept."""

    async def tenant_id(self, name: str) -> int | None:
        """The number of the tenant `name`; None when there is none."""

    async def add_tokens(self, tenant_id: int, tokens: Sequence[NewToken], told: Callable[[int], None]) -> list[int]:
        """Keeps new tokens, all or none, and makes their groups when missing; their numbers.

        `told` learns how many are under way.
        """

    async def holders(self, names: Sequence[str]) -> dict[str, Holder]:
        """Those of `names` that devices have, and the devices."""

    async def list_tokens(self, tenant_id: int, *, before_id: int, limit: int) -> list[TokenRecord]:
        """The tenant's tokens with numbers below `before_id`, the latest first."""

    async def revoke_token(self, tenant_id: int, token_id: int, now: datetime) -> bool:
        """Ends a token; False when the tenant has none of that number. Revoking twice keeps the first time."""


class Tokens:
    """Makes, lists and revokes tokens.

    Args:
        fingerprint: SHA-256 of the root certificate that new tokens name.
        store: where they are kept.
        trail: the audit trail.
        now: the time, aware.
    """

    def __init__(self, fingerprint: bytes, store: TokenStore, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._fingerprint = fingerprint
        self._store = store
        self._trail = trail
        self._now = now

    async def create(self, order: TokenOrder, caller: Caller) -> EnrolmentToken:
        """A new token; its text is shown once and cannot be had again.

        Raises:
            ConfigError: the order cannot be met; one line with the fix.
        """
        (token,) = await self.create_all([order], caller)
        return token

    async def create_all(
        self, orders: Sequence[TokenOrder], caller: Caller, told: Callable[[int], None] = lambda _: None
    ) -> list[EnrolmentToken]:
        """A token for each order, all or none; `told` learns how many are under way.

        Raises:
            ConfigError: as `create`, for the first that cannot be met.
        """
        wanted = {check_order(order).name: order.replace for order in orders}
        for name, why in (await self.in_use([name for name in wanted if name is not None], caller)).items():
            if why.final or not wanted[name]:
                raise ConfigError(why.reason)
        tokens = [new_token(self._fingerprint) for _ in orders]
        if not orders:
            return []
        now = self._now()
        kept = [_kept(token, order, caller, now) for token, order in zip(tokens, orders, strict=True)]
        numbers = await self._store.add_tokens(caller.tenant_id, kept, told)
        # When this cannot be entered, nobody is shown the secrets, and the tokens let nobody in.
        await self._trail.record(_made(numbers, kept, caller))
        return tokens

    async def in_use(self, names: Sequence[str], caller: Caller) -> dict[str, "InUse"]:
        """Those of `names` that devices have, and what keeps the caller from giving them away."""
        holders = await self._store.holders(names) if names else {}
        return {name: in_use(name, holder, caller.tenant_id) for name, holder in holders.items()}

    async def listed(self, caller: Caller, *, before_id: int, limit: int) -> list[TokenRecord]:
        """The tenant's tokens with numbers below `before_id`, the latest first."""
        return await self._store.list_tokens(caller.tenant_id, before_id=before_id, limit=limit)

    async def revoke(self, token_id: int, caller: Caller) -> None:
        """Ends a token; devices that it made stay.

        Raises:
            NotFoundError: the tenant has no such token.
        """
        if not await self._store.revoke_token(caller.tenant_id, token_id, self._now()):
            raise NotFoundError(f"there is no enrolment token {token_id}; see wayside-server token list")
        await self._trail.record(
            Act(caller.actor, "token.revoke", f"token:{token_id}", caller.tenant_id, caller.address)
        )


def check_order(order: TokenOrder) -> TokenOrder:
    """`order` itself.

    Raises:
        ConfigError: it cannot be met; one line with the fix.
    """
    if not timedelta(0) < order.life <= MAX_LIFE:
        raise ConfigError(f"a token is good for up to {MAX_LIFE.days} days; choose a life within that")
    if not 1 <= order.uses <= MAX_USES:
        raise ConfigError(f"a token is good for 1 to {MAX_USES} devices; {order.uses} are not")
    if order.name is not None:
        check_device_name(order.name)
        if order.uses > 1 or order.prefix is not None:
            raise ConfigError("a name is for one device; for more, give a prefix instead")
    if order.prefix is not None:
        check_prefix(order.prefix)
    if order.group is not None:
        check_group_name(order.group)
    # It is printed to terminals, which obey what cannot be seen.
    if len(order.label) > MAX_LABEL or not order.label.isprintable():
        raise ConfigError(f"a label has at most {MAX_LABEL} characters, all of them visible; change it")
    return order


@dataclass(frozen=True, slots=True)
class InUse:
    """Why a name is not simply given away.

    Args:
        reason: one line with the fix.
        final: whether it does not help to ask for its replacement.
    """

    reason: str
    final: bool


def in_use(name: str, holder: Holder, tenant_id: int) -> InUse:
    """What keeps a tenant from giving the name of `holder` to another board."""
    if holder.tenant_id != tenant_id:
        return InUse(name_taken(name), final=True)
    return InUse(name_held(name, revoked=holder.revoked), final=holder.revoked)


def name_taken(name: str) -> str:
    """What is said of a name that the tenant cannot have; not whose it is."""
    return f"device name {name!r} may not be used; choose another"


def name_held(name: str, *, revoked: bool) -> str:
    """What is said of a name that one of the tenant's devices has."""
    if revoked:
        return (
            f"{name} was revoked, so no board can connect under this name; first wayside-server device restore {name},"
            " or choose another name"
        )
    return (
        f"{name} is enrolled already, and another board under this name locks it out; say that this is meant"
        " (--replace, `replace` over the API), or choose another name"
    )


def usable(token: StoredToken | None, now: datetime) -> StoredToken:
    """`token` itself.

    Raises:
        TokenRefusedError: it is not good at `now`.
    """
    if token is None:
        raise TokenRefusedError(TokenFault.UNKNOWN)
    if token.revoked:
        raise TokenRefusedError(TokenFault.REVOKED, token)
    if token.uses >= token.max_uses:
        raise TokenRefusedError(TokenFault.USED, token)
    if token.expires_at <= now:
        raise TokenRefusedError(TokenFault.EXPIRED, token)
    return token


def _made(numbers: Sequence[int], kept: Sequence[NewToken], caller: Caller) -> Act:
    detail: dict[str, str | int | None] = {"tokens": len(kept), "devices": sum(new.max_uses for new in kept)}
    if len(kept) == 1:
        (new,) = kept
        detail |= {"name": new.name or new.prefix, "group": new.group, "label": new.label}
    subject = f"token:{numbers[0]}" + (f"-{numbers[-1]}" if len(numbers) > 1 else "")
    return Act(caller.actor, "token.create", subject, caller.tenant_id, caller.address, detail=detail)


def _kept(token: EnrolmentToken, order: TokenOrder, caller: Caller, now: datetime) -> NewToken:
    return NewToken(
        digest=token.digest,
        name=order.name,
        prefix=None if order.prefix is None else check_prefix(order.prefix),
        group=order.group,
        max_uses=order.uses,
        label=order.label,
        replaces=order.replace,
        created_by=caller.actor,
        created_at=now,
        expires_at=now + order.life,
    )
