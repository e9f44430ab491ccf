"""The command wayside-server person: what only the machine's own people do with accounts."""

import argparse
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from wayside_server.app import Storage
from wayside_server.app.people import desk_on
from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home
from wayside_server.identity.people import Person
from wayside_shared.tables import columns
from wayside_shared.text import printable

Work: TypeAlias = Callable[[Storage, ServerSettings], Coroutine[Any, Any, None]]
Runner: TypeAlias = Callable[[argparse.Namespace, Work], None]
_HEAD = ("NAME", "STATE", "LAST SIGN-IN", "SECOND FACTOR", "MAY ACT IN", "CALLED")


def add(commands: Any, shared: argparse.ArgumentParser, run: Runner, show: Callable[[str], None]) -> None:
    """Adds it to the command line.

    Args:
        commands: the parser's commands.
        shared: options of every command.
        run: opens the database for some work.
        show: prints a line.
    """
    people = commands.add_parser("person", help="accounts of people").add_subparsers(required=True)
    listing = people.add_parser("list", parents=[shared], help="all accounts")
    listing.set_defaults(command=lambda options: run(options, _list(options, show)))
    for word, text, work in (
        ("reset", "take passphrase and second factor away, end the sessions, print a link for a new one", _reset),
        ("disable", "let nobody in as this person, and no key of theirs", _disable),
        ("enable", "let them in again", _enable),
        ("promote", "make them an administrator of the installation", _promote),
        ("demote", "let them administer the installation no longer", _demote),
    ):
        one = people.add_parser(word, parents=[shared], help=text)
        one.add_argument("name", metavar="NAME", help="login name")
        one.set_defaults(command=lambda options, work=work: run(options, work(options, show)))


def _list(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        accounts = desk_on(Home(options.home), settings, storage).accounts
        everybody = await accounts.people()
        if not everybody:
            show("nobody has an account yet; wayside-server setup-code prints what makes the first one")
            return
        roles: dict[str, list[str]] = {person.name: [] for person in everybody}
        for tenant in await storage.tenants().every():
            for member in await accounts.members(tenant.id):
                roles[member.name].append(f"{tenant.name} ({member.role.name.lower()})")
        for line in columns([_HEAD, *(_row(person, roles[person.name]) for person in everybody)]):
            show(line)

    return work


def _reset(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        person, keys = await desk.machine.reset(options.name)
        show(f"{desk.base}/login/{await desk.sessions.create_link(person.name)}")
        show(f"API keys that {person.name} made and that are revoked: {keys}")

    return work


def _disable(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_disabled(options, show, disabled=True)


def _enable(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_disabled(options, show, disabled=False)


def _promote(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_administrator(options, show, granted=True)


def _demote(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_administrator(options, show, granted=False)


def _set_administrator(options: argparse.Namespace, show: Callable[[str], None], *, granted: bool) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        await desk.machine.set_administrator(options.name, granted=granted)
        show(f"{options.name} is {'an administrator' if granted else 'no administrator'} of the installation")

    return work


def _set_disabled(options: argparse.Namespace, show: Callable[[str], None], *, disabled: bool) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        await desk.machine.set_disabled(options.name, disabled=disabled)
        show(
            f"{options.name} is disabled: nobody comes in as them, and no key of theirs opens anything"
            if disabled
            else f"{options.name} is enabled: they can sign in again, and their keys are good"
        )

    return work


def _row(person: Person, roles: Sequence[str]) -> tuple[str, ...]:
    state = "disabled" if person.disabled_at else "enabled"
    used = f"{person.last_sign_in:%Y-%m-%d %H:%M}" if person.last_sign_in else "never"
    factor = "the provider's" if person.issuer else "yes" if person.totp_secret else "no"
    where = [*(["installation (administrator)"] if person.is_administrator else []), *roles]
    return (person.name, state, used, factor, ", ".join(where) or "-", printable(person.display_name))
