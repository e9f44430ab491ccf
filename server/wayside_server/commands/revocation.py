"""`wayside-server device revoke|restore`, `crl renew` and `ca status|roll|finish`."""

import argparse
from collections.abc import Sequence
from typing import Any

from wayside_server import app, config
from wayside_server.app import authorities, identities
from wayside_server.commands.storage import with_storage
from wayside_server.config import ServerSettings
from wayside_server.identity.crl import Reason
from wayside_server.identity.home import Home
from wayside_shared.tables import plural


def add_revocation(commands: Any, devices: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the commands to `commands`, and to `devices`, those of `wayside-server device`."""
    revoke = devices.add_parser("revoke", parents=[shared], help="let a device in no more, and end its session")
    revoke.add_argument("name", metavar="NAME", help="the device")
    revoke.add_argument(
        "--reason",
        choices=[reason.value for reason in Reason],
        default=Reason.UNSPECIFIED.value,
        help="why; only hold can be taken back without a new enrolment (%(default)s)",
    )
    revoke.set_defaults(command=_revoke)
    restore = devices.add_parser("restore", parents=[shared], help="let a revoked device in again")
    restore.add_argument("name", metavar="NAME", help="the device")
    restore.set_defaults(command=_restore)
    lists = commands.add_parser("crl", help="the certificate revocation list").add_subparsers(required=True)
    renew = lists.add_parser("renew", parents=[shared], help="sign the list on disk anew, without the database")
    renew.set_defaults(command=_renew_list)

    authority = commands.add_parser("ca", help="the certificate authority, and its rollover")
    steps = authority.add_subparsers(required=True)
    status = steps.add_parser("status", parents=[shared], help="which CAs there are, and what a rollover waits for")
    status.set_defaults(command=_ca_status)
    roll = steps.add_parser("roll", parents=[shared], help="make a new CA beside the present one")
    finish = steps.add_parser("finish", parents=[shared], help="let go of the old CA")
    for step, command in ((roll, _ca_roll), (finish, _ca_finish)):
        step.add_argument(
            "--restart-broker",
            action="store_true",
            help="end the broker, for its service manager to start it again: it reads roots only then",
        )
        step.set_defaults(command=command)


def _revoke(options: argparse.Namespace) -> None:
    reason = Reason(options.reason)

    async def revoke(storage: app.Storage, settings: ServerSettings) -> None:
        work = identities.Identities(Home(options.home), settings, storage)
        marked = await work.revoke(options.name, reason)
        certificates = plural(marked.certificates, "certificate")
        print(f"{options.name} is revoked, with {certificates}; nothing that it sends is stored")
        print(await work.enforce())

    with_storage(options, revoke)


def _restore(options: argparse.Namespace) -> None:
    async def restore(storage: app.Storage, settings: ServerSettings) -> None:
        work = identities.Identities(Home(options.home), settings, storage)
        marked = await work.restore(options.name)
        if marked.revoked:
            print(f"{options.name} is restored; what it sends is stored again")
        else:
            print(f"{options.name} was not revoked; what it sends is stored, as before")
        if marked.released:
            print(f"good again after they were on hold: {plural(marked.released, 'certificate')}")
        if marked.certificates:
            print(f"still revoked: {plural(marked.certificates, 'certificate')}; enrol it anew with")
            print(f"  wayside-server token create --name {options.name}")
        print(await work.enforce())

    with_storage(options, restore)


def _renew_list(options: argparse.Namespace) -> None:
    home = Home(options.home)
    print(identities.renew_list(home, config.load(home)))


def _ca_status(options: argparse.Namespace) -> None:
    async def show(storage: app.Storage, _: ServerSettings) -> None:
        _show(await authorities.status(Home(options.home), storage))

    with_storage(options, show)


def _ca_roll(options: argparse.Namespace) -> None:
    async def roll(storage: app.Storage, settings: ServerSettings) -> None:
        home = Home(options.home)
        _show(await authorities.roll(home, settings, storage, restart_broker=options.restart_broker))

    with_storage(options, roll)


def _ca_finish(options: argparse.Namespace) -> None:
    async def finish(storage: app.Storage, settings: ServerSettings) -> None:
        home = Home(options.home)
        _show(await authorities.finish(home, settings, storage, restart_broker=options.restart_broker))

    with_storage(options, finish)


def _show(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)
