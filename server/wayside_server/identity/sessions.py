"""Sessions of people: how they begin, what they open, and how they end. The server keeps them; a browser has a token.

Of tokens and links only the SHA-256 is kept: they are 256 random bits.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from wayside_server.domain.access import Principal, Session
from wayside_server.domain.audit import Act, AuditTrail, Enter, Outcome, enter_nothing
from wayside_server.errors import NotFoundError, ThrottledError, UnauthorizedError
from wayside_server.identity.keys import TOUCH_EVERY, Keys
from wayside_server.identity.passphrases import Passphrases
from wayside_server.identity.people import Method, NewSession, OpenSession, Person, Place
from wayside_server.identity.people_stores import PeopleStore, SessionStore
from wayside_server.identity.refusing import RefusalNotes, Refusals
from wayside_server.identity.second_factor import accepted_step, recovery_digest
from wayside_server.identity.secret_box import SealBrokenError, SecretBox
from wayside_server.identity.standing import UNKNOWN, digest_of, principal_of
from wayside_server.identity.throttle import Throttle

SESSION_LIFE = timedelta(hours=12)
"""A working day; an operator signs in each morning."""
IDLE_LIFE = timedelta(minutes=30)
"""As NIST SP 800-63B-4 section 2.2.3 has it, so that a screen left alone closes."""
CODE_LIFE = timedelta(minutes=5)
"""Between passphrase and code: long enough to look for the phone."""
LINK_LIFE = timedelta(minutes=10)
"""Long enough to carry a link from the terminal to the browser."""
SECRET_BYTES = 32
WRONG = "name or passphrase is wrong"
"""The same for a name that there is not, a wrong passphrase and a disabled account."""
WRONG_CODE = "the code is wrong, or was used before; wait for the next one"
TOTP_PURPOSE = "totp"


@dataclass(frozen=True, slots=True)
class Visitor:
    """From where somebody comes.

    Args:
        address: network address; None on the machine itself.
        agent: what their browser says it is.
        session: the token that it sent; its session ends when another begins.
    """

    address: str | None
    agent: str | None = None
    session: str = ""


class Sessions:
    """Begins, resumes and ends sessions, and is the installation's `domain.access.Access`.

    Args:
        store: where they are kept.
        people: whose they are.
        passphrases: checks them.
        box: opens the secrets of second factors.
        keys: for programs.
        refusals: counts what is refused.
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(
        self,
        store: SessionStore,
        people: PeopleStore,
        passphrases: Passphrases,
        box: SecretBox,
        keys: Keys,
        refusals: Refusals,
        trail: AuditTrail,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._people = people
        self._passphrases = passphrases
        self._box = box
        self._keys = keys
        self._refusals = refusals
        self._notes = RefusalNotes(refusals, trail, now)
        self._trail = trail
        self._now = now
        self.throttle = Throttle(store, now)

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        """As `Access`."""
        return await self._keys.authenticate(bearer, address)

    async def resume(self, session: str, *, active: bool = True) -> Principal:
        """As `Access`."""
        return principal_of(await self.open(session, active=active))

    async def open(self, session: str, *, active: bool = False) -> OpenSession:
        """The session whose token is `session`, which opens something.

        Raises:
            UnauthorizedError: it has ended, or waits for its second factor.
        """
        found = await self._find(session)
        if found is None or not found.factor_done:
            raise UnauthorizedError("the session has ended; sign in again")
        if active and self._now() - found.last_used >= TOUCH_EVERY:
            await self._store.touch_session(digest_of(session), self._now())
        return found

    async def sign_in(self, name: str, passphrase: str, visitor: Visitor) -> Session:
        """A new session for the account `name`; without its second factor it opens nothing yet.

        Raises:
            UnauthorizedError: name or passphrase is wrong; the time it takes does not tell which.
            ThrottledError: too many failed before.
        """
        name = name.strip().casefold()
        await self._begin_attempt("account", name, visitor)
        person = await self._people.find_person(name)
        kept = None if person is None else person.passphrase_hash
        good = await self._passphrases.verify(kept, passphrase)
        if person is None or not good or person.disabled_at is not None:
            raise await self._refused("sign_in", WRONG, person, visitor)
        await self.throttle.succeeded("account", name, visitor.address)
        if kept is not None and self._passphrases.outdated(kept):
            fresh = await self._passphrases.hash(passphrase)
            await self._people.set_passphrase(person.person_id, fresh, enter_nothing, must_change=person.must_change)
        return await self.begin(person, Method.PASSPHRASE, visitor, factor_done=person.totp_secret is None)

    async def confirm(self, code: str, visitor: Visitor) -> Session:
        """The session that waits for its code, begun anew under another token.

        Args:
            code: of the authenticator, or a recovery code.
            visitor: with the token of the session that waits.

        Raises:
            UnauthorizedError: the code is wrong or was used, or no session waits.
            ThrottledError: too many were wrong.
        """
        waiting = await self.waiting(visitor.session)
        person = None if waiting is None else await self._people.find_person(waiting.name)
        if waiting is None or person is None:
            raise UnauthorizedError("the sign-in took too long; begin again")
        await self._begin_attempt("code", person.name, visitor)
        if not await self.check_code(person, code):
            raise await self._refused("second_factor", WRONG_CODE, person, visitor)
        await self.throttle.succeeded("code", person.name, visitor.address)
        return await self.begin(person, waiting.method, visitor)

    async def prove(self, code: str, visitor: Visitor) -> None:
        """Insists on a code of the owner of an open session, before they change what protects it.

        Raises:
            UnauthorizedError: the code is wrong or was used, or the session has ended.
            ThrottledError: too many were wrong.
        """
        found = await self.open(visitor.session)
        person = await self._people.find_person(found.name)
        await self._begin_attempt("code", found.name, visitor)
        if person is None or not await self.check_code(person, code):
            raise await self._refused("second_factor", WRONG_CODE, person, visitor)
        await self.throttle.succeeded("code", found.name, visitor.address)

    async def waiting(self, session: str) -> OpenSession | None:
        """The session whose token is `session`, while it waits for its code."""
        found = await self._find(session)
        return None if found is None or found.factor_done else found

    async def check_code(self, person: Person, code: str) -> bool:
        """Whether `code` is one of the authenticator or a recovery code; either is spent."""
        if person.totp_secret is not None:
            try:
                secret = self._box.open(person.totp_secret, TOTP_PURPOSE)
            except SealBrokenError:
                await self._refusals.count_refusal("second_factor_sealed", person.name, self._now())
            else:
                step = accepted_step(secret, code, self._now(), person.totp_step)
                if step is not None:
                    return await self._people.spend_step(person.person_id, step)
        return await self._people.spend_recovery(person.person_id, recovery_digest(code))

    async def begin(
        self,
        person: Person,
        method: Method,
        visitor: Visitor,
        *,
        factor_done: bool = True,
        tenant_id: int | None = None,
    ) -> Session:
        """A session under a new token; the one that the visitor had ends, so that none is forced on anybody.

        Args:
            person: whose it is; they have been established.
            method: how.
            visitor: from where.
            factor_done: whether it opens anything yet.
            tenant_id: the tenant to act in; None for the first that they belong to.
        """
        act = Act(person.actor, "session.begin", person.actor, None, visitor.address, detail={"method": method.value})
        now, token = self._now(), secrets.token_urlsafe(SECRET_BYTES)
        ends = now + (SESSION_LIFE if factor_done else CODE_LIFE)
        await self._store.add_session(
            NewSession(
                digest_of(token),
                person.person_id,
                method,
                factor_done,
                now,
                ends,
                visitor.address,
                visitor.agent,
                tenant_id,
            ),
            partial(self._trail.record, act) if factor_done else enter_nothing,
            instead_of=digest_of(visitor.session),
        )
        return Session(token, ends, needs_code=not factor_done)

    async def create_link(self, name: str | None = None) -> str:
        """The token of a link that signs in once within LINK_LIFE, for who may do anything on this machine.

        Args:
            name: whose; None for the first administrator of the installation.

        Raises:
            NotFoundError: there is no such account.
        """
        everybody = await self._people.people()
        wanted = [one for one in everybody if (one.name == name if name else one.is_administrator)]
        wanted = [one for one in wanted if one.disabled_at is None]
        if not wanted:
            raise NotFoundError(_nobody(everybody, name))
        person = min(wanted, key=lambda one: one.person_id)
        token, now = secrets.token_urlsafe(SECRET_BYTES), self._now()
        enter = partial(self._trail.record, Act("command line", "link.create", person.actor, None))
        await self._store.add_link(digest_of(token), person.person_id, now, now + LINK_LIFE, enter)
        return token

    async def redeem(self, link: str, visitor: Visitor) -> Session:
        """A new session for whom the link was made, which is spent.

        Raises:
            UnauthorizedError: it was spent, has expired, or never was.
        """
        person = await self._store.spend_link(digest_of(link), self._now())
        if person is None:
            message = "sign-in link is used, expired or unknown; on the server type wayside-server login-link"
            raise await self._refused("sign_in_link", f"the {message}", None, visitor)
        return await self.begin(person, Method.LINK, visitor)

    async def places(self, session: OpenSession) -> list[Place]:
        """The tenants that its owner can act in."""
        return await self._people.places(session.person_id)

    async def choose(self, tenant_id: int, visitor: Visitor) -> Session:
        """Acts in another tenant from now on, under a new token.

        Raises:
            NotFoundError: they do not belong to it, and administer not the installation.
            UnauthorizedError: the session has ended.
        """
        found = await self.open(visitor.session)
        if tenant_id not in {place.tenant_id for place in await self.places(found)}:
            raise NotFoundError("there is no such tenant for you; choose one of the list on the page Account")
        actor = f"person:{found.name}"
        act = Act(actor, "tenant.enter", f"tenant:{tenant_id}", tenant_id, visitor.address)
        return await self._again(found, visitor, tenant_id, partial(self._trail.record, act))

    async def renew(self, visitor: Visitor) -> Session:
        """The same session under a new token, with a whole life, and all others of its owner ended: what opens it has
        changed.

        Raises:
            UnauthorizedError: the session has ended.
        """
        found = await self.open(visitor.session)
        await self._store.end_sessions(found.person_id, enter_nothing, but=digest_of(visitor.session))
        return await self._again(found, visitor, found.tenant_id, enter_nothing)

    async def list(self, session: OpenSession) -> list[OpenSession]:
        """All sessions of its owner, the latest first."""
        return await self._store.sessions(session.person_id, self._now(), self._now() - IDLE_LIFE)

    async def sign_out(self, session: str) -> None:
        """Ends the session; one that is not known is no error."""
        found = await self._find(session)
        if found is not None:
            act = Act(f"person:{found.name}", "session.end", f"person:{found.name}", None)
            await self._store.end_session(digest_of(session), partial(self._trail.record, act))

    async def sign_out_everywhere(self, visitor: Visitor) -> None:
        """Ends all sessions of the owner of this one.

        Raises:
            UnauthorizedError: it has ended.
        """
        found = await self.open(visitor.session)
        actor = f"person:{found.name}"
        enter = partial(self._trail.record, Act(actor, "session.end_all", actor, None, visitor.address))
        await self._store.end_sessions(found.person_id, enter, but=None)

    async def end(self, number: int, visitor: Visitor) -> None:
        """Ends one session of the owner of this one.

        Raises:
            NotFoundError: there is none with this number.
            UnauthorizedError: the visitor's own has ended.
        """
        found = await self.open(visitor.session)
        actor = f"person:{found.name}"
        act = Act(actor, "session.end", actor, None, visitor.address, detail={"number": number})
        if not await self._store.end_numbered(found.person_id, number, partial(self._trail.record, act)):
            await self._trail.record(replace(act, outcome=Outcome.FAILED))
            raise NotFoundError("the session has ended already")

    async def _again(self, found: OpenSession, visitor: Visitor, tenant_id: int | None, enter: Enter) -> Session:
        token = secrets.token_urlsafe(SECRET_BYTES)
        await self._store.add_session(
            NewSession(
                digest_of(token),
                found.person_id,
                found.method,
                True,
                self._now(),
                found.expires_at,
                visitor.address,
                visitor.agent,
                tenant_id,
            ),
            enter,
            instead_of=digest_of(visitor.session),
        )
        return Session(token, found.expires_at)

    async def _find(self, session: str) -> OpenSession | None:
        now = self._now()
        return await self._store.find_session(digest_of(session), now, now - IDLE_LIFE)

    async def _begin_attempt(self, kind: str, name: str, visitor: Visitor) -> None:
        try:
            await self.throttle.begin(kind, name, visitor.address)
        except ThrottledError:
            told = _told(await self._people.find_person(name), visitor)
            await self._refusals.count_refusal("sign_in_throttled", told, self._now())
            raise

    async def _refused(self, kind: str, message: str, person: Person | None, visitor: Visitor) -> UnauthorizedError:
        actor, subject = f"stranger:{visitor.address}", UNKNOWN
        if person is not None:
            actor = subject = person.actor
        await self._notes.note(
            kind, _told(person, visitor), Act(actor, "session.begin", subject, None, visitor.address)
        )
        return UnauthorizedError(message)


def _told(person: Person | None, visitor: Visitor) -> str:
    who = UNKNOWN if person is None else repr(person.name)
    return f"{who} from {visitor.address or 'this machine'}"


def _nobody(everybody: Sequence[Person], name: str | None) -> str:
    """Why nobody can come in by a link, and the fix."""
    if not everybody:
        return "nobody has an account yet; wayside-server setup-code prints what makes the first one"
    if name is None:
        return (
            "no account that is enabled administers the installation; let one do so with wayside-server person promote"
            " NAME (wayside-server person list has their names), or make one with wayside-server login-link"
            " --new-administrator NAME"
        )
    if any(one.name == name for one in everybody):
        return f"the account {name!r} is disabled; type wayside-server person enable {name}"
    return f"there is no account {name[:63]!r}; see wayside-server person list"
