"""Accounts for tests: a desk on a database, with passphrases that cost little, and people who sign in to a console."""

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from wayside_server.domain.access import SESSION_COOKIE, Role
from wayside_server.domain.audit import Act, enter_nothing
from wayside_server.errors import ConfigError, StorageError
from wayside_server.identity.accounts import Applicant
from wayside_server.identity.desk import Desk, open_desk
from wayside_server.identity.home import Home
from wayside_server.identity.oidc_settings import OidcSettings
from wayside_server.identity.passphrases import Passphrases
from wayside_server.identity.people import Method, NewInvitation, NewPerson, Person
from wayside_server.identity.secret_box import ensure_box_key
from wayside_server.identity.sessions import Visitor
from wayside_server.identity.setup_code import ensure_setup_code
from wayside_server.storage.database import Pool
from wayside_server.storage.identity import PostgresIdentity
from wayside_server.storage.people import PostgresPeople
from wayside_server.storage.sessions import PostgresSessions

PASSPHRASE = "a kettle on nine hills"
ADDRESS = "192.0.2.7"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]+)"')


def cheap_passphrases() -> Passphrases:
    """The real thing at a thousandth of the usual cost."""
    return Passphrases(time_cost=1, memory_kib=64, lanes=1)


class MemoryTrail:
    """An `AuditTrail` in memory; acts that are called what `refuses` says fail as on a full disk."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.refuses = ""

    async def record(self, act: Act) -> None:
        if act.action == self.refuses:
            raise StorageError("the trail takes nothing")
        self.acts.append(act)

    def actions(self) -> list[str]:
        """What was done, in order."""
        return [act.action for act in self.acts]


class MovableClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.time


@dataclass(frozen=True, slots=True)
class Stores:
    """As `identity.desk.PeopleStores`."""

    people: PostgresPeople
    sessions: PostgresSessions
    keys: PostgresIdentity


@dataclass(frozen=True, slots=True)
class Office:
    """A desk and what stands behind it."""

    desk: Desk
    stores: Stores
    trail: MemoryTrail
    home: Home

    async def claim(self, name: str = "ada") -> Person:
        """The first account, as the set-up makes it."""
        visitor, who = Visitor(ADDRESS), Applicant(name, name.title(), PASSPHRASE)
        return await self.desk.accounts.set_up(ensure_setup_code(self.home), self.desk.setup_code(), who, visitor)

    async def employ(self, name: str, role: Role | None, tenant_id: int = 1) -> Person:
        """An account with `role` in a tenant, or in none."""
        kept = await cheap_passphrases().hash(PASSPHRASE)
        person = await self.stores.people.add_mapped(
            NewPerson(name, name.title(), kept), datetime.now(UTC), enter_nothing
        )
        if person is None:
            raise ConfigError(f"{name} is there already")
        if role is not None:
            await self.join(person, tenant_id, role)
        return person

    async def join(self, person: Person, tenant_id: int, role: Role) -> None:
        """Gives somebody a role in a tenant."""
        by = await self.stores.people.places(person.person_id)
        assert tenant_id not in {place.tenant_id for place in by if place.role is not None}
        digest = f"{person.name} {tenant_id}".encode().ljust(32, b".")[:32]
        now = datetime.now(UTC)
        later = now.replace(year=now.year + 1)
        new = NewInvitation(digest, tenant_id, role, "", "test", now, later)
        await self.stores.people.add_invitation(new, enter_nothing)
        await self.stores.people.accept_known(digest, person.person_id, now, enter_nothing)


class Doors(httpx.Auth):
    """Asks the API with a key and the console with a session, each as it must be.

    Args:
        key: what a program sends.
        session: what a browser sends.
    """

    def __init__(self, key: str, session: str) -> None:
        self.key = key
        self._session = session

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As `httpx.Auth`; what a request says itself of who asks stays."""
        if "authorization" in request.headers:
            pass
        elif request.url.path.startswith("/api/"):
            request.headers["Authorization"] = f"Bearer {self.key}"
        else:
            request.headers["Cookie"] = f"{SESSION_COOKIE}={self._session}"
        yield request


async def doors_of(office: "Office", key: str, person: Person) -> Doors:
    """Both ways in: a key that there is, and a new session of somebody."""
    session = await office.desk.sessions.begin(person, Method.PASSPHRASE, Visitor(ADDRESS))
    return Doors(key, session.token)


def open_office(
    pool: Pool,
    folder: Path,
    now: Callable[[], datetime] | None = None,
    *,
    oidc: OidcSettings | None = None,
    base: str = "https://wayside.example",
    passphrases: Passphrases | None = None,
) -> Office:
    """An office on the database of `pool`, with its files below `folder`."""
    home, trail = Home(folder), MemoryTrail()
    ensure_box_key(home)
    stores = Stores(PostgresPeople(pool), PostgresSessions(pool), PostgresIdentity(pool))
    clock = now or (lambda: datetime.now(UTC))
    hasher = passphrases or cheap_passphrases()
    desk = open_desk(home, stores, trail, clock, base=base, oidc=oidc, passphrases=hasher)
    return Office(desk, stores, trail, home)


async def sign_in(browser: httpx.AsyncClient, name: str, passphrase: str = PASSPHRASE, to: str = "/") -> httpx.Response:
    """The answer to somebody's name and passphrase; the browser has their session afterwards."""
    return await browser.post("/sign-in", data={"name": name, "passphrase": passphrase, "next": to})


async def send(browser: httpx.AsyncClient, page: str, action: str, **fields: str) -> httpx.Response:
    """Opens `page` and sends its form to `action`, as a browser would."""
    found = _CSRF.search((await browser.get(page)).text)
    assert found is not None, f"{page} has no form"
    headers = {"Origin": str(browser.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    return await browser.post(action, data={"csrf": found[1], **fields}, headers=headers)


def take_session(browser: httpx.AsyncClient) -> str:
    """The token of the session that the browser has."""
    return next(cookie.value or "" for cookie in browser.cookies.jar if cookie.name == SESSION_COOKIE)
