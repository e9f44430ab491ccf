"""Accounts: the first one, invitations, passphrases, second factors, roles."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from wayside_server.domain.access import Permission, Principal, Role
from wayside_server.domain.audit import Act, AuditTrail, Detail, Outcome
from wayside_server.errors import ConfigError, NotFoundError, UnauthorizedError
from wayside_server.identity.passphrases import Passphrases, check_passphrase
from wayside_server.identity.people import (
    Invitation,
    LastAdminError,
    Level,
    Member,
    Method,
    NameTakenError,
    NewInvitation,
    NewPerson,
    OpenSession,
    Person,
)
from wayside_server.identity.people_stores import PeopleStore
from wayside_server.identity.refusing import RefusalNotes, Refusals
from wayside_server.identity.sessions import SECRET_BYTES, Visitor
from wayside_server.identity.setup_code import plain_code
from wayside_server.identity.standing import UNKNOWN, check_name, check_reach, digest_of, one_line
from wayside_server.identity.throttle import Throttle

INVITATION_LIFE = timedelta(days=7)
"""Over a weekend and a day off."""
MAX_DISPLAY_NAME = 100
GONE = "the invitation was used or withdrawn, or has expired; ask for another"


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
        self._notes = RefusalNotes(refusals, trail, now)
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
        claim = Act(_stranger(visitor), "installation.claim", "installation", None, visitor.address)
        if not same or await self._people.claimed():
            await self._notes.note("setup_code", f"from {visitor.address}", claim)
            raise UnauthorizedError("the set-up code is wrong; on the server type wayside-server setup-code")
        await self._throttle.succeeded("set-up", None, visitor.address)
        new = await self._new(who, None, visitor)
        subject = f"person:{new.name}"
        done = replace(claim, actor=subject, subject=subject)
        person = await self._people.add_first(new, self._now(), partial(self._trail.record, done))
        if person is None:
            await self._notes.note("setup_code", f"from {visitor.address}, too late", claim)
            raise UnauthorizedError("somebody has claimed this installation already; sign in")
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
        act = Act(person.actor, "passphrase.change", person.actor, None, visitor.address)
        if session.method is not Method.LINK:
            await self._prove(person, old, act, visitor)
        check_passphrase(new, person.name)
        kept = await self._passphrases.hash(new)
        await self._people.set_passphrase(person.person_id, kept, partial(self._trail.record, act), must_change=False)

    async def prove(self, session: OpenSession, passphrase: str, visitor: Visitor) -> None:
        """Insists on the passphrase of the owner of `session`, if they have one, before they set up a second factor:
        who finds a screen left open must not bind a telephone of theirs.

        Raises:
            UnauthorizedError: it is wrong.
            ThrottledError: too many were wrong.
        """
        person = await self.person(session.name)
        act = Act(person.actor, "second_factor.add", person.actor, None, visitor.address)
        await self._prove(person, passphrase, act, visitor)

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
        act = Act(by.actor, "invitation.create", f"tenant:{tenant_id}", tenant_id, visitor.address, detail=detail)
        token, now = secrets.token_urlsafe(SECRET_BYTES), self._now()
        new = NewInvitation(digest_of(token), tenant_id, role, label, by.actor, now, now + INVITATION_LIFE)
        await self._people.add_invitation(new, partial(self._trail.record, act))
        return token

    async def withdraw(self, by: Principal, invitation_id: int, visitor: Visitor) -> None:
        """Ends an invitation to the tenant that `by` acts in.

        Raises:
            NotFoundError: there is none such.
        """
        tenant_id = _tenant_of(by)
        act = Act(by.actor, "invitation.withdraw", f"invitation:{invitation_id}", tenant_id, visitor.address)
        if not await self._people.withdraw_invitation(invitation_id, tenant_id, partial(self._trail.record, act)):
            await self._trail.record(replace(act, outcome=Outcome.FAILED))
            raise NotFoundError("the invitation was used, withdrawn or has expired")

    async def invitation(self, token: str, visitor: Visitor) -> Invitation:
        """The invitation behind a link.

        Raises:
            UnauthorizedError: it was used, withdrawn, has expired or never was.
        """
        found = await self._people.find_invitation(digest_of(token), self._now())
        if found is None:
            raise await self._gone(visitor)
        return found

    async def accept(self, token: str, who: Applicant, visitor: Visitor) -> Person:
        """A new account in the tenant of the invitation, which is spent.

        Raises:
            UnauthorizedError: as `invitation`.
            NameTakenError: somebody has the name.
            ThrottledError: too many names were taken: who is there is not for whoever has an invitation to find out.
            ConfigError: name or passphrase is not taken; the message says why.
        """
        invitation = await self.invitation(token, visitor)
        new = await self._new(who, token, visitor)
        enter = partial(self._trail.record, _acceptance(invitation, f"person:{new.name}", visitor))
        person = await self._people.accept_new(digest_of(token), new, self._now(), enter)
        if person is None:
            raise await self._gone(visitor)
        return person

    async def join(self, token: str, session: OpenSession, visitor: Visitor) -> int:
        """Spends the invitation on the owner of `session`; gives the tenant.

        Raises:
            UnauthorizedError: as `invitation`.
        """
        act = _acceptance(await self.invitation(token, visitor), f"person:{session.name}", visitor)
        enter = partial(self._trail.record, act)
        tenant_id = await self._people.accept_known(digest_of(token), session.person_id, self._now(), enter)
        if tenant_id is None:
            raise await self._gone(visitor)
        return tenant_id

    async def set_role(self, by: Principal, name: str, role: Role | None, visitor: Visitor) -> None:
        """Changes what somebody may in the tenant that `by` acts in, or takes them out of it with None.

        Raises:
            NotFoundError: they are not in it.
            ConfigError: it is `by`: somebody else must do it, so that every tenant keeps an admin; or they may more
                than `by`, or would.
        """
        act = Act(by.actor, "role.set", f"person:{name}", by.tenant_id, visitor.address)
        act = replace(act, detail={"role": "none" if role is None else role.name.lower()})
        member, tenant_id = await self._member(by, name, act)
        check_reach(by, member.role, *([] if role is None else [role]))
        act = replace(act, detail={**act.detail, "before": member.role.name.lower()})
        person, enter = await self.person(member.name), partial(self._trail.record, act)
        try:
            done = await self._people.set_role(person.person_id, tenant_id, role, enter, keep_admin=_leaves_one(by))
        except LastAdminError as error:
            await self._trail.record(replace(act, outcome=Outcome.FAILED))
            raise ConfigError(str(error)) from error
        if not done:
            raise await self._nobody(name, act)

    async def set_member_disabled(self, by: Principal, name: str, visitor: Visitor, *, disabled: bool) -> None:
        """Disables or enables the account of somebody who belongs to no other tenant.

        Raises:
            NotFoundError: they are not in the tenant that `by` acts in.
            ConfigError: it is `by`, or somebody whom this tenant alone cannot decide about.
        """
        action = "person.disable" if disabled else "person.enable"
        act = Act(by.actor, action, f"person:{name}", by.tenant_id, visitor.address)
        member, tenant_id = await self._member(by, name, act)
        if member.elsewhere or member.is_administrator:
            raise ConfigError(
                f"{member.name} belongs to others too; take them out of this tenant, or on the server type "
                f"wayside-server person disable {member.name}"
            )
        person, enter = await self.person(member.name), partial(self._trail.record, act)
        since, level = self._now() if disabled else None, _level_of(by)
        keep = tenant_id if _leaves_one(by) else None
        try:
            done = await self._people.set_disabled(person.person_id, since, level, enter, keep_admin=keep)
        except LastAdminError as error:
            await self._trail.record(replace(act, outcome=Outcome.FAILED))
            raise ConfigError(str(error)) from error
        if not done:
            await self._trail.record(replace(act, outcome=Outcome.REFUSED))
            raise ConfigError(
                f"the installation has disabled {member.name}; on the server type "
                f"wayside-server person enable {member.name}"
            )

    async def required_second_factor(self, tenant_id: int) -> bool:
        """Whether the tenant wants a second factor of its admins."""
        return await self._people.required_second_factor(tenant_id)

    async def require_second_factor(self, by: Principal, *, wanted: bool, visitor: Visitor) -> None:
        """Whether the tenant that `by` acts in wants one from now on.

        Raises:
            ConfigError: `by` is a key: what protects people is for people to say.
        """
        tenant_id = _tenant_of(by)
        detail: Detail = {"wanted": wanted}
        act = Act(by.actor, "second_factor.require", f"tenant:{tenant_id}", tenant_id, visitor.address, detail=detail)
        if not by.actor.startswith("person:"):
            await self._trail.record(replace(act, outcome=Outcome.REFUSED))
            raise ConfigError("an API key cannot change this; sign in to the console as a person")
        await self._people.require_second_factor(tenant_id, partial(self._trail.record, act), wanted=wanted)

    async def _new(self, who: Applicant, token: str | None, visitor: Visitor) -> NewPerson:
        name = check_name(who.name)
        check_passphrase(who.passphrase, name)
        invited = None if token is None else digest_of(token).hex()
        await self._throttle.begin("invitation", invited, visitor.address)
        if await self._people.find_person(name) is not None:
            raise NameTakenError(name)
        await self._throttle.succeeded("invitation", invited, visitor.address)
        display_name = one_line(who.display_name, MAX_DISPLAY_NAME) or name
        return NewPerson(name, display_name, await self._passphrases.hash(who.passphrase))

    async def _prove(self, person: Person, passphrase: str, act: Act, visitor: Visitor) -> None:
        if person.passphrase_hash is None:
            return
        await self._throttle.begin("account", person.name, visitor.address)
        if not await self._passphrases.verify(person.passphrase_hash, passphrase):
            await self._notes.note("old_passphrase", f"{person.name!r} from {visitor.address}", act)
            raise UnauthorizedError("the old passphrase is wrong")
        await self._throttle.succeeded("account", person.name, visitor.address)

    async def _member(self, by: Principal, name: str, act: Act) -> tuple[Member, int]:
        tenant_id = _tenant_of(by)
        for member in await self._people.members(tenant_id):
            if member.name == name:
                if by.actor == f"person:{name}":
                    raise ConfigError("another admin must do this for you, so that the tenant keeps one")
                return member, tenant_id
        raise await self._nobody(name, act)

    async def _nobody(self, name: str, act: Act) -> NotFoundError:
        await self._trail.record(replace(act, subject=UNKNOWN, outcome=Outcome.FAILED))
        return NotFoundError(f"there is nobody {name[:63]!r} in this tenant")

    async def _gone(self, visitor: Visitor) -> UnauthorizedError:
        act = Act(_stranger(visitor), "invitation.accept", "invitation:unknown", None, visitor.address)
        await self._notes.note("invitation", f"from {visitor.address}", act)
        return UnauthorizedError(GONE)


def _acceptance(invitation: Invitation, actor: str, visitor: Visitor) -> Act:
    detail: Detail = {"role": invitation.role.name.lower(), "invited_by": invitation.made_by}
    tenant_id = invitation.tenant_id
    return Act(actor, "invitation.accept", f"tenant:{tenant_id}", tenant_id, visitor.address, detail=detail)


def _leaves_one(by: Principal) -> bool:
    # Whoever administers the installation is an admin of the tenant, beside its own.
    return Permission.INSTALL not in by.permissions


def _level_of(by: Principal) -> Level:
    return Level.INSTALLATION if Permission.INSTALL in by.permissions else Level.TENANT


def _stranger(visitor: Visitor) -> str:
    return f"stranger:{visitor.address}"


def _tenant_of(by: Principal) -> int:
    if by.tenant_id is None:
        raise NotFoundError("choose a tenant first, on the page Account")
    return by.tenant_id
