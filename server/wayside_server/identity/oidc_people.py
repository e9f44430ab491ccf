"""People whom an OpenID Connect provider knows: what their groups let them do here, and their sessions."""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from wayside_server.domain.access import Role, Session
from wayside_server.domain.audit import Act, AuditTrail
from wayside_server.errors import ConfigError, UnauthorizedError
from wayside_server.identity.oidc_settings import OidcSettings
from wayside_server.identity.people import NAME_PATTERN, Method, NewPerson, Person
from wayside_server.identity.people_stores import PeopleStore
from wayside_server.identity.refusing import RefusalNotes, Refusals
from wayside_server.identity.secret_box import SealBrokenError, SecretBox
from wayside_server.identity.sessions import Sessions, Visitor
from wayside_server.identity.standing import UNKNOWN, one_line

if TYPE_CHECKING:
    from wayside_server.identity.oidc import OidcProvider

ON_THE_WAY = timedelta(minutes=10)
"""Time to sign in at the provider."""
_PURPOSE = "oidc sign-in"
_BAD = "the sign-in took too long or began in another browser; begin again"
MAX_LETTERS = 63
MAX_DISPLAY_NAME = 100


class OidcPeople:
    """Lets people in whom the provider knows, and whose groups have a role here.

    Args:
        provider: says who they are.
        settings: with the grants.
        box: seals what the browser carries along.
        people: where accounts are kept.
        sessions: begins theirs.
        refusals: counts who is refused.
        trail: where acts are entered.
        now: the time, aware.

    Raises:
        ConfigError: a grant is not of the form group=tenant:role.
    """

    def __init__(
        self,
        provider: "OidcProvider",
        settings: OidcSettings,
        box: SecretBox,
        people: PeopleStore,
        sessions: Sessions,
        refusals: Refusals,
        trail: AuditTrail,
        now: Callable[[], datetime],
    ) -> None:
        self._provider = provider
        self._settings = settings
        self._box = box
        self._people = people
        self._sessions = sessions
        self._notes = RefusalNotes(refusals, trail, now)
        self._trail = trail
        self._now = now
        self._grants = parse_grants(settings.grants)
        self.label = settings.label

    async def begin(self, wanted: str) -> tuple[str, str]:
        """Where to send the browser, and what it must keep meanwhile.

        Args:
            wanted: path to go to afterwards.

        Raises:
            TransientError: the provider does not answer.
            ConfigError: it is none, or a file is missing.
        """
        begun = await self._provider.begin(*(secrets.token_urlsafe(32) for _ in range(3)))
        kept = {
            "state": begun.state,
            "nonce": begun.nonce,
            "verifier": begun.verifier,
            "next": wanted,
            "until": (self._now() + ON_THE_WAY).timestamp(),
        }
        return begun.url, base64.urlsafe_b64encode(self._box.seal(json.dumps(kept).encode(), _PURPOSE)).decode()

    async def finish(self, kept: str, answer: Mapping[str, str], visitor: Visitor) -> tuple[Session, str]:
        """The session of whom the provider sent back, and where they wanted to go.

        Args:
            kept: what the browser kept.
            answer: the query of the address that it was sent back to.
            visitor: from where.

        Raises:
            UnauthorizedError: it is not the answer to this sign-in, or the provider's token is not good, or nobody
                gave them a role here.
            TransientError: the provider does not answer.
        """
        try:
            begun = self._opened(kept, answer)
            claims = await self._provider.finish(answer.get("code", ""), begun["nonce"], begun["verifier"])
            person = await self._person(claims, visitor)
        except UnauthorizedError as error:
            act = Act(f"stranger:{visitor.address}", "session.begin", UNKNOWN, None, visitor.address)
            await self._notes.note("oidc", f"{error} (from {visitor.address})", _named(act, error))
            raise
        session = await self._sessions.begin(person, Method.OIDC, visitor)
        return session, str(begun["next"])

    def _opened(self, kept: str, answer: Mapping[str, str]) -> dict[str, Any]:
        try:
            begun: dict[str, Any] = json.loads(self._box.open(base64.urlsafe_b64decode(kept), _PURPOSE))
        except (SealBrokenError, ValueError) as error:
            raise UnauthorizedError(_BAD) from error
        late = self._now().timestamp() >= begun["until"]
        if late or not secrets.compare_digest(
            begun["state"].encode(), answer.get("state", "").encode("utf-8", "replace")
        ):
            raise UnauthorizedError(_BAD)
        if "error" in answer:
            said = answer["error"][:MAX_LETTERS]
            raise UnauthorizedError(f"the provider let nobody in: {said!r}")
        return begun

    async def _person(self, claims: Mapping[str, Any], visitor: Visitor) -> Person:
        issuer, subject = str(claims["iss"]), str(claims["sub"])
        groups = claims.get(self._settings.groups_claim, [])
        roles = roles_of(groups if isinstance(groups, list) else [], self._grants)
        person = await self._people.find_subject(issuer, subject)
        if person is None:
            if not roles:
                raise UnauthorizedError("the provider knows you, but none of your groups has a role here; ask an admin")
            person = await self._make(issuer, subject, claims, visitor)
        if person.disabled_at is not None:
            raise _RefusedPersonError(person, "your account is disabled; ask an admin")

        async def enter(tenant_id: int, role: Role | None) -> None:
            detail = {"role": "none" if role is None else role.name.lower()}
            await self._trail.record(
                Act("system:oidc", "role.set", person.actor, tenant_id, visitor.address, detail=detail)
            )

        if not await self._people.map_roles(person.person_id, roles, enter) and not person.is_administrator:
            raise _RefusedPersonError(person, "none of your groups has a role here any more; ask an admin")
        return person

    async def _make(self, issuer: str, subject: str, claims: Mapping[str, Any], visitor: Visitor) -> Person:
        name = str(claims.get(self._settings.name_claim, "")).strip().casefold()
        # Never an account that there is: whoever may name themselves at the provider must not become somebody here.
        number = hashlib.sha256(f"{issuer} {subject}".encode()).hexdigest()[:8]
        candidates = [name] if re.fullmatch(NAME_PATTERN, name) else []
        for candidate in (
            *candidates,
            f"{re.sub('[^a-z0-9._@+-]', '', name)[:40].lstrip('._@+-') or 'person'}-{number}",
        ):
            shown = one_line(str(claims.get("name", "")), MAX_DISPLAY_NAME) or candidate
            act = Act("system:oidc", "person.create", f"person:{candidate}", None, visitor.address)
            new = NewPerson(candidate, shown, issuer=issuer, subject=subject)
            person = await self._people.add_mapped(new, self._now(), partial(self._trail.record, act))
            if person is not None:
                return person
        raise UnauthorizedError("there is an account with your name already; ask an admin")


class _RefusedPersonError(UnauthorizedError):
    """Somebody is known, and not let in."""

    def __init__(self, person: Person, message: str) -> None:
        self.person = person
        super().__init__(message)


def _named(act: Act, error: UnauthorizedError) -> Act:
    who = error.person.actor if isinstance(error, _RefusedPersonError) else None
    return act if who is None else replace(act, actor=who, subject=who)


def parse_grants(grants: Sequence[str]) -> list[tuple[str, str, Role]]:
    """Group, tenant and role of each grant.

    Raises:
        ConfigError: one is not of the form group=tenant:role.
    """
    found = []
    for grant in grants:
        group, _, place = grant.rpartition("=")
        tenant, _, role = place.rpartition(":")
        if not group or not tenant or role.upper() not in Role.__members__:
            names = ", ".join(name.lower() for name in Role.__members__)
            raise ConfigError(f"oidc.grants: {grant!r}; write group=tenant:role, with a role of {names}")
        found.append((group, tenant, Role[role.upper()]))
    return found


def roles_of(groups: Sequence[Any], grants: Sequence[tuple[str, str, Role]]) -> dict[str, Role]:
    """The highest role in each tenant that somebody in `groups` has by `grants`."""
    roles: dict[str, Role] = {}
    for group, tenant, role in grants:
        if group in groups:
            roles[tenant] = max(role, roles.get(tenant, role))
    return roles
