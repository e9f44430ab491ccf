"""What only those do with accounts who may do anything on the server's machine."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from wayside_server.domain.audit import Act, AuditTrail, Detail, Outcome
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.people import Level, NewPerson, Person
from wayside_server.identity.people_stores import PeopleStore
from wayside_server.identity.standing import check_name

ACTOR = "command line"


class MachineAccounts:
    """Accounts, for the command line.

    Args:
        people: where they are kept.
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(self, people: PeopleStore, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._people = people
        self._trail = trail
        self._now = now

    async def add_administrator(self, name: str) -> Person:
        """Another administrator of the installation, without a passphrase.

        Raises:
            ConfigError: the name is none, or taken.
        """
        clean = check_name(name)
        enter = partial(self._record, "person.create", f"person:{clean}")
        person = await self._people.add_administrator(NewPerson(clean, clean), self._now(), enter)
        if person is None:
            await self._record("person.create", f"person:{clean}", outcome=Outcome.FAILED)
            raise ConfigError(f"the name {clean!r} is taken; choose another")
        return person

    async def reset(self, name: str) -> tuple[Person, int]:
        """Takes passphrase and second factor away, ends the sessions and revokes the API keys that they made; says how
        many of those there were.

        Raises:
            NotFoundError: there is no such account.
        """
        person = await self._person(name)

        async def enter(keys: int) -> None:
            await self._record("person.reset", person.actor, {"keys": keys})

        return person, await self._people.reset(person.person_id, self._now(), enter)

    async def set_disabled(self, name: str, *, disabled: bool) -> None:
        """Disables an account, with its sessions and keys, or enables it. No tenant enables it then.

        Raises:
            NotFoundError: there is no such account.
            ConfigError: it is that of the last administrator of the installation.
        """
        person = await self._person(name)
        if disabled:
            await self._keep_an_administrator(person)
        enter = partial(self._record, "person.disable" if disabled else "person.enable", person.actor)
        since = self._now() if disabled else None
        await self._people.set_disabled(person.person_id, since, Level.INSTALLATION, enter)

    async def set_administrator(self, name: str, *, granted: bool) -> None:
        """Makes somebody an administrator of the installation, or no longer.

        Raises:
            NotFoundError: there is no such account.
            ConfigError: they are the last one.
        """
        person = await self._person(name)
        if not granted:
            await self._keep_an_administrator(person)
        enter = partial(self._record, "person.administrator", person.actor, {"granted": granted})
        await self._people.set_administrator(person.person_id, enter, granted=granted)

    async def _keep_an_administrator(self, without: Person) -> None:
        able = [one.name for one in await self._people.people() if one.is_administrator and one.disabled_at is None]
        if able == [without.name]:
            raise ConfigError(
                f"{without.name} is the last administrator of the installation whose account is enabled; make somebody"
                " else one first: wayside-server person promote NAME"
            )

    async def _person(self, name: str) -> Person:
        person = await self._people.find_person(name)
        if person is None:
            raise NotFoundError(f"there is no account {name[:63]!r}")
        return person

    async def _record(
        self, action: str, subject: str, detail: Detail | None = None, *, outcome: Outcome = Outcome.DONE
    ) -> None:
        await self._trail.record(Act(ACTOR, action, subject, None, outcome=outcome, detail=detail or {}))
