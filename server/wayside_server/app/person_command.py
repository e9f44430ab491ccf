"""The command wayside-server person: what only the machine's own people do with accounts."""

import argparse
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from wayside_server.app import Storage
from wayside_server.app.people import desk_on
from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home
from wayside_server.identity.people import Person

Work: TypeAlias = Callable[[Storage, ServerSettings], Coroutine[Any, Any, None]]
Runner: TypeAlias = Callable[[argparse.Namespace, Work], None]


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
        for person in await desk_on(Home(options.home), settings, storage).accounts.people():
            show(_line(person))

    return work


def _reset(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        person, keys = await desk.machine.reset(options.name)
        show(f"{desk.base}/login/{await desk.sessions.create_link(person.name)}")
        show(f"API keys that {person.name} made and that are revoked: {keys}")

    return work


def _disable(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_disabled(options, disabled=True)


def _enable(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_disabled(options, disabled=False)


def _promote(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_administrator(options, granted=True)


def _demote(options: argparse.Namespace, show: Callable[[str], None]) -> Work:
    return _set_administrator(options, granted=False)


def _set_administrator(options: argparse.Namespace, *, granted: bool) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        await desk.machine.set_administrator(options.name, granted=granted)

    return work


def _set_disabled(options: argparse.Namespace, *, disabled: bool) -> Work:
    async def work(storage: Storage, settings: ServerSettings) -> None:
        desk = desk_on(Home(options.home), settings, storage)
        await desk.machine.set_disabled(options.name, disabled=disabled)

    return work


def _line(person: Person) -> str:
    state = "disabled" if person.disabled_at else "enabled"
    used = f"{person.last_sign_in:%Y-%m-%d %H:%M}" if person.last_sign_in else "never signed in"
    factor = "second factor" if person.totp_secret else "-"
    kind = "administrator" if person.is_administrator else "-"
    return f"{person.name:24}  {state:8}  {used:16}  {factor:13}  {kind:13}  {person.display_name}"
