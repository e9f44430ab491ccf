"""What serves people, joined: accounts, sessions, keys and the way in for the first one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from wayside_server.domain.audit import AuditTrail
from wayside_server.identity.accounts import Accounts
from wayside_server.identity.home import Home
from wayside_server.identity.keys import Keys, KeyStore
from wayside_server.identity.machine_accounts import MachineAccounts
from wayside_server.identity.oidc_people import OidcPeople
from wayside_server.identity.oidc_settings import OidcSettings
from wayside_server.identity.own_factor import OwnFactor
from wayside_server.identity.passphrases import Passphrases
from wayside_server.identity.people_stores import PeopleStore, SessionStore
from wayside_server.identity.refusing import RefusalNotes
from wayside_server.identity.secret_box import load_box
from wayside_server.identity.sessions import Sessions
from wayside_server.identity.setup_code import find_setup_code, forget_setup_code


class PeopleStores(Protocol):
    """Where all of it is kept."""

    @property
    def people(self) -> PeopleStore:
        """Accounts."""

    @property
    def sessions(self) -> SessionStore:
        """Sessions."""

    @property
    def keys(self) -> KeyStore:
        """API keys, and counts of refusals."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the console needs of identity.

    Args:
        home: where the set-up code lies.
        accounts: makes and changes accounts.
        machine: changes them for who may do anything on this machine.
        notes: counts and enters who is refused.
        sessions: lets people in.
        factor: second factors.
        keys: lets programs in.
        oidc: lets people in whom a provider knows; None without one.
        base: how people reach the console, as `https://server.example:8443`.
    """

    home: Home
    accounts: Accounts
    machine: MachineAccounts
    notes: RefusalNotes
    sessions: Sessions
    factor: OwnFactor
    keys: Keys
    oidc: OidcPeople | None
    base: str

    @property
    def host(self) -> str:
        """The name in `base`."""
        return urlsplit(self.base).hostname or self.base

    def setup_code(self) -> str | None:
        """The code that makes the first person."""
        return find_setup_code(self.home)

    def forget_setup_code(self) -> None:
        """There is somebody; the code opens nothing any more."""
        forget_setup_code(self.home)


def open_desk(
    home: Home,
    stores: PeopleStores,
    trail: AuditTrail,
    now: Callable[[], datetime],
    *,
    base: str,
    oidc: OidcSettings | None = None,
    passphrases: Passphrases | None = None,
) -> Desk:
    """All services on `stores`.

    Args:
        home: the installation, for the key that seals secrets.
        stores: where all of it is kept.
        trail: where acts are entered.
        now: the time, aware.
        base: how people reach the console.
        oidc: the provider; None without one.
        passphrases: hashes them; with the usual cost when None.

    Raises:
        ConfigError: a file of the installation is missing or broken.
    """
    box, hasher = load_box(home), passphrases or Passphrases()
    keys = Keys(stores.keys, now, trail)
    sessions = Sessions(stores.sessions, stores.people, hasher, box, keys, stores.keys, trail, now)
    accounts = Accounts(stores.people, hasher, sessions.throttle, stores.keys, trail, now)
    factor = OwnFactor(stores.people, box, trail, now)
    provider = None
    if oidc is not None and oidc.issuer is not None:
        from wayside_server.identity.oidc import OidcProvider  # most installations have no provider

        provider = OidcPeople(
            OidcProvider(oidc, home, f"{base}/sign-in/oidc/return", now),
            oidc,
            box,
            stores.people,
            sessions,
            stores.keys,
            trail,
            now,
        )
    machine, notes = MachineAccounts(stores.people, trail, now), RefusalNotes(stores.keys, trail, now)
    return Desk(home, accounts, machine, notes, sessions, factor, keys, provider, base)
