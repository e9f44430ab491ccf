"""Connecting with the identity that there is, and proving the one that is to follow it.

The broker makes a certificate's name the client id, so a second session beside the running one would end that. A new
certificate is therefore proved by the session that follows: if it does not come about, the present one connects right
after, within the same attempt. Samples wait in the outbox meanwhile, as in any pause of the link.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from wayside_edge.errors import DeviceRefusedError, TransientError
from wayside_edge.identity.store import Files
from wayside_edge.ports import Connection
from wayside_shared.renewal import Disproved, Event, FellBack, Life, Proved


class Identities(Protocol):
    """What there is to connect with, and who hears how it went."""

    def candidates(self) -> tuple[Files | None, Files, Files | None]:
        """What is to be proved, the present identity, and the one before it."""

    async def life(self, files: Files) -> Life | None:
        """When the certificate in `files` is valid; None when that cannot be known."""

    async def deal(self, event: Event) -> None:
        """Take in how it went."""

    def now_s(self) -> float | None:
        """UTC seconds; None while the time is not known."""


class ProvingTransport:
    """The `Transport` of a device whose certificate is renewed.

    Args:
        identities: whose.
        dial: opens a session with an identity; raises TransientError.
    """

    def __init__(self, identities: Identities, dial: Callable[[Files], Awaitable[Connection]]) -> None:
        self._identities = identities
        self._dial = dial

    async def connect(self) -> Connection:
        """See `ports.Transport`."""
        staged, present, old = self._identities.candidates()
        disproof = ""
        if staged is not None:
            try:
                connection = await self._dial(staged)
            except TransientError as error:
                disproof = str(error)
            else:
                await self._identities.deal(Proved())
                return connection
        try:
            connection = await self._dial(present)
        except DeviceRefusedError as error:
            refusal = DeviceRefusedError(await self._explained(error, present))
            if old is None:
                raise refusal from error
            return await self._fall_back(old, refusal)
        if staged is not None:
            await self._identities.deal(Disproved(disproof))
        return connection

    async def _fall_back(self, old: Files, refusal: DeviceRefusedError) -> Connection:
        try:
            connection = await self._dial(old)
        except TransientError:
            raise refusal from None
        life = await self._identities.life(old)
        if life is not None:
            await self._identities.deal(FellBack(life, str(refusal)))
        return connection

    async def _explained(self, error: DeviceRefusedError, files: Files) -> str:
        life, now_s = await self._identities.life(files), self._identities.now_s()
        if life is None or now_s is None:
            return str(error)
        ends = datetime.fromtimestamp(life.ends_s, UTC)
        if now_s >= life.ends_s:
            return (
                f"this device's certificate expired on {ends:%Y-%m-%d %H:%M} UTC, by its own clock; its renewal"
                f" waits for an operator's consent, or enrol anew with a token (the broker: {error})"
            )
        return (
            f"{error} By this device's clock its certificate is valid until {ends:%Y-%m-%d}: it was revoked, or the"
            " broker does not know its CA"
        )
