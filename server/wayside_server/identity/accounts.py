"""Accounts: the first one, invitations, passphrases, second factors, roles."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from wayside_server.domain.access import Principal, Role
from wayside_server.domain.audit import Act, AuditTrail, Detail
from wayside_server.errors import ConfigError, NotFoundError, UnauthorizedError
from wayside_server.identity.passphrases import Passphrases, check_passphrase
from wayside_server.identity.people import (
    Invitation,
    Member,
    Method,
    NameTakenError,
    NewPerson,
    OpenSession,
    PeopleStore,
    Person,
)
from wayside_server.identity.refusing import Refusals
from wayside_server.identity.sessions import SECRET_BYTES, Visitor
from wayside_server.identity.setup_code import plain_code
from wayside_server.identity.standing import check_name, check_reach, digest_of, one_line
from wayside_server.identity.throttle import Throttle

INVITATION_LIFE = timedelta(days=7)
"""Over a weekend and a day off."""
MAX_DISPLAY_NAME = 100


@dataclass(frozen=True, slots=True)
class Applicant:
    """What somebody says of the account that they want.

    Args:
        name: login name.
        display_name: what people call them; the login name when empty.
        passphrase: theirs.
    """

    name: str
    display_name: str
    passphrase: str


class Accounts:
    """Makes and changes accounts.

    Args:
        people: where they are kept.
        passphrases: hashes them.
        throttle: lets nobody guess.
        refusals: counts what is refused.
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(
        self,
        people: PeopleStore,
        passphrases: Passphrases,
        throttle: Throttle,
        refusals: Refusals,
        trail: AuditTrail,
        now: Callable[[], datetime],
    ) -> None:
        self._people = people
        self._passphrases = passphrases
        self._throttle = throttle
        self._refusals = refusals
        self._trail = trail
        self._now = now

    async def claimed(self) -> bool:
        """Whether there is anybody; before, nobody can sign in."""
        return await self._people.claimed()

    async def set_up(self, given: str, code: str | None, who: Applicant, visitor: Visitor) -> Person:
        """The first account, an administrator of the installation.

        Args:
            given: the set-up code as it was typed.
            code: the one that is good; None when none is.
            who: the account.
            visitor: from where.

        Raises:
            UnauthorizedError: the code is wrong, or there is an account already.
            ConfigError: name or passphrase is not taken; the message says why.
            ThrottledError: too many were wrong.
        """
        await self._throttle.begin("set-up", None, visitor.address)
        same = code is not None and hmac.compare_digest(plain_code(given), plain_code(code))
        if not same or await self._people.claimed():
            await self._refusals.count_refusal("setup_code", f"from {visitor.address}", self._now())
            raise UnauthorizedError("the set-up code is wrong; on the server type wayside-server setup-code")
        await self._throttle.succeeded("set-up", None, visitor.address)
        new = await self._new(who)
        await self._record(f"person:{new.name}", "installation.claim", f"person:{new.name}", None, visitor)
        person = await self._people.add_first(new, self._now())
        if person is None:
            raise UnauthorizedError("somebody has claimed this installation already; sign in")
        return person

    async def add_administrator(self, name: str) -> Person:
        """Another administrator of the installation, without a passphrase, for who may do anything on this machine.

        Raises:
            ConfigError: the name is none, or taken.
        """
        clean = check_name(name)
        await self._record("command line", "person.create", f"person:{clean}", None, None)
        person = await self._people.add_administrator(NewPerson(clean, clean), self._now())
        if person is None:
            raise ConfigError(f"the name {clean!r} is taken; choose another")
        return person

    async def person(self, name: str) -> Person:
        """The account `name`.

        Raises:
            NotFoundError: there is none.
        """
        person = await self._people.find_person(name)
        if person is None:
            raise NotFoundError(f"there is no account {name[:63]!r}")
        return person

    async def tenant_id(self, name: str) -> int:
        """The number of the tenant `name`.

        Raises:
            NotFoundError: there is none.
        """
        found = await self._people.tenant_id(name)
        if found is None:
            raise NotFoundError(f"there is no tenant {name[:63]!r}")
        return found

    async def people(self) -> list[Person]:
        """All accounts."""
        return await self._people.people()

    async def change_passphrase(self, session: OpenSession, old: str, new: str, visitor: Visitor) -> None:
        """Replaces the passphrase of the owner of `session`; who came in by a link needs not know the old one.

        Raises:
            UnauthorizedError: the old one is wrong.
            ConfigError: the new one is not taken; the message says why.
            ThrottledError: too many were wrong.
        """
        person = await self.person(session.name)
        if person.passphrase_hash is not None and session.method is not Method.LINK:
            await self._throttle.begin("account", person.name, visitor.address)
            if not await self._passphrases.verify(person.passphrase_hash, old):
                raise UnauthorizedError("the old passphrase is wrong")
            await self._throttle.succeeded("account", person.name, visitor.address)
        check_passphrase(new, person.name)
        kept = await self._passphrases.hash(new)
        await self._record(person.actor, "passphrase.change", person.actor, None, visitor)
        await self._people.set_passphrase(person.person_id, kept, must_change=False)

    async def reset(self, name: str) -> Person:
        """Takes passphrase and second factor away and ends the sessions, for who may do anything on this machine.

        Raises:
            NotFoundError: there is no such account.
        """
        person = await self.person(name)
        await self._record("command line", "person.reset", person.actor, None, None)
        await self._people.reset(person.person_id)
        return person

    async def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Disables an account, with its sessions and keys, or enables it, for who may do anything on this machine.

        Raises:
            NotFoundError: there is no such account.
        """
        await self._set_disabled(await self.person(name), disabled, "command line", None, None)

    async def set_administrator(self, name: str, *, granted: bool) -> None:
        """Makes somebody an administrator of the installation, or no longer, for who may do anything on this machine.

        Raises:
            NotFoundError: there is no such account.
        """
        person = await self.person(name)
        await self._record("command line", "person.administrator", person.actor, None, None, {"granted": granted})
        await self._people.set_administrator(person.person_id, granted=granted)

    async def members(self, tenant_id: int) -> list[Member]:
        """Everybody in a tenant."""
        return await self._people.members(tenant_id)

    async def invitations(self, tenant_id: int) -> list[Invitation]:
        """What is open in a tenant."""
        return await self._people.invitations(tenant_id, self._now())

    async def invite(self, by: Principal, role: Role, label: str, visitor: Visitor) -> str:
        """The token of a link by which one person joins the tenant that `by` acts in, good once.

        Args:
            by: who invites, and administers the tenant.
            role: as what.
            label: for whom.
            visitor: from where.

        Raises:
            ConfigError: the role may more than `by`.
        """
        tenant_id = _tenant_of(by)
        check_reach(by, role)
        label = one_line(label, MAX_DISPLAY_NAME)
        detail: Detail = {"role": role.name.lower(), "for": label}
        await self._record(by.actor, "invitation.create", f"tenant:{tenant_id}", tenant_id, visitor, detail)
        token = secrets.token_urlsafe(SECRET_BYTES)
        now = self._now()
        await self._people.add_invitation(
            digest_of(token), tenant_id, role, label, by.actor, now, now + INVITATION_LIFE
        )
        return token

    async def withdraw(self, by: Principal, invitation_id: int, visitor: Visitor) -> None:
        """Ends an invitation to the tenant that `by` acts in.

        Raises:
            NotFoundError: there is none such.
        """
        tenant_id = _tenant_of(by)
        await self._record(by.actor, "invitation.withdraw", f"invitation:{invitation_id}", tenant_id, visitor)
        if not await self._people.withdraw_invitation(invitation_id, tenant_id):
            raise NotFoundError("the invitation was used, withdrawn or has expired")

    async def invitation(self, token: str, visitor: Visitor) -> Invitation:
        """The invitation behind a link.

        Raises:
            UnauthorizedError: it was used, withdrawn, has expired or never was.
        """
        found = await self._people.find_invitation(digest_of(token), self._now())
        if found is None:
            await self._refusals.count_refusal("invitation", f"from {visitor.address}", self._now())
            raise UnauthorizedError("the invitation was used or withdrawn, or has expired; ask for another")
        return found

    async def accept(self, token: str, who: Applicant, visitor: Visitor) -> Person:
        """A new account in the tenant of the invitation, which is spent.

        Raises:
            UnauthorizedError: as `invitation`.
            NameTakenError: somebody has the name.
            ConfigError: name or passphrase is not taken; the message says why.
        """
        invitation = await self.invitation(token, visitor)
        new = await self._new(who)
        await self._accepted(invitation, f"person:{new.name}", visitor)
        person = await self._people.accept_new(digest_of(token), new, self._now())
        if person is None:
            raise UnauthorizedError("the invitation was used or withdrawn, or has expired; ask for another")
        return person

    async def join(self, token: str, session: OpenSession, visitor: Visitor) -> int:
        """Spends the invitation on the owner of `session`; gives the tenant.

        Raises:
            UnauthorizedError: as `invitation`.
        """
        await self._accepted(await self.invitation(token, visitor), f"person:{session.name}", visitor)
        tenant_id = await self._people.accept_known(digest_of(token), session.person_id, self._now())
        if tenant_id is None:
            raise UnauthorizedError("the invitation was used or withdrawn, or has expired; ask for another")
        return tenant_id

    async def set_role(self, by: Principal, name: str, role: Role | None, visitor: Visitor) -> None:
        """Changes what somebody may in the tenant that `by` acts in, or takes them out of it with None.

        Raises:
            NotFoundError: they are not in it.
            ConfigError: it is `by`: somebody else must do it, so that every tenant keeps an admin; or they may more
                than `by`, or would.
        """
        member, tenant_id = await self._member(by, name)
        check_reach(by, member.role, *([] if role is None else [role]))
        word = "none" if role is None else role.name.lower()
        await self._record(by.actor, "role.set", f"person:{member.name}", tenant_id, visitor, {"role": word})
        person = await self.person(member.name)
        await self._people.set_role(person.person_id, tenant_id, role)

    async def set_member_disabled(self, by: Principal, name: str, visitor: Visitor, *, disabled: bool) -> None:
        """Disables or enables the account of somebody who belongs to no other tenant.

        Raises:
            NotFoundError: they are not in the tenant that `by` acts in.
            ConfigError: it is `by`, or somebody whom this tenant alone cannot decide about.
        """
        member, tenant_id = await self._member(by, name)
        if member.elsewhere or member.is_administrator:
            raise ConfigError(
                f"{member.name} belongs to others too; take them out of this tenant, or on the server type "
                f"wayside-server person disable {member.name}"
            )
        await self._set_disabled(await self.person(member.name), disabled, by.actor, tenant_id, visitor)

    async def required_second_factor(self, tenant_id: int) -> bool:
        """Whether the tenant wants a second factor of its admins."""
        return await self._people.required_second_factor(tenant_id)

    async def require_second_factor(self, by: Principal, *, wanted: bool, visitor: Visitor) -> None:
        """Whether the tenant that `by` acts in wants one from now on."""
        tenant_id = _tenant_of(by)
        detail = {"wanted": wanted}
        await self._record(by.actor, "second_factor.require", f"tenant:{tenant_id}", tenant_id, visitor, detail)
        await self._people.require_second_factor(tenant_id, wanted=wanted)

    async def _set_disabled(
        self, person: Person, disabled: bool, actor: str, tenant_id: int | None, visitor: Visitor | None
    ) -> None:
        action = "person.disable" if disabled else "person.enable"
        await self._record(actor, action, person.actor, tenant_id, visitor)
        await self._people.set_disabled(person.person_id, self._now() if disabled else None)

    async def _new(self, who: Applicant) -> NewPerson:
        name = check_name(who.name)
        check_passphrase(who.passphrase, name)
        if await self._people.find_person(name) is not None:
            raise NameTakenError(name)
        display_name = one_line(who.display_name, MAX_DISPLAY_NAME) or name
        return NewPerson(name, display_name, await self._passphrases.hash(who.passphrase))

    async def _accepted(self, invitation: Invitation, actor: str, visitor: Visitor) -> None:
        detail: Detail = {"role": invitation.role.name.lower(), "invited_by": invitation.made_by}
        tenant_id = invitation.tenant_id
        await self._record(actor, "invitation.accept", f"tenant:{tenant_id}", tenant_id, visitor, detail)

    async def _member(self, by: Principal, name: str) -> tuple[Member, int]:
        tenant_id = _tenant_of(by)
        for member in await self._people.members(tenant_id):
            if member.name == name:
                if by.actor == f"person:{name}":
                    raise ConfigError("another admin must do this for you, so that the tenant keeps one")
                return member, tenant_id
        raise NotFoundError(f"there is nobody {name[:63]!r} in this tenant")

    async def _record(
        self,
        actor: str,
        action: str,
        subject: str,
        tenant_id: int | None,
        visitor: Visitor | None,
        detail: Detail | None = None,
    ) -> None:
        address = None if visitor is None else visitor.address
        await self._trail.record(Act(actor, action, subject, tenant_id, address, detail=detail or {}))


def _tenant_of(by: Principal) -> int:
    if by.tenant_id is None:
        raise NotFoundError("choose a tenant first, on the page Account")
    return by.tenant_id
