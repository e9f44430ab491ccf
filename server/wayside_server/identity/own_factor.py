"""How people set their second factor up, and take it away."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from wayside_server.domain.audit import Act, AuditTrail, Enter
from wayside_server.errors import ConfigError, UnauthorizedError
from wayside_server.identity.people import OpenSession
from wayside_server.identity.people_stores import PeopleStore
from wayside_server.identity.second_factor import accepted_step, new_recovery_codes, new_secret, recovery_digest
from wayside_server.identity.secret_box import SealBrokenError, SecretBox
from wayside_server.identity.sessions import TOTP_PURPOSE, Visitor

_OFFER_PURPOSE = "totp offer"


class OwnFactor:
    """Each person's own second factor.

    Args:
        people: where it is kept.
        box: seals its secret.
        trail: where acts are entered.
        now: the time, aware.
    """

    def __init__(self, people: PeopleStore, box: SecretBox, trail: AuditTrail, now: Callable[[], datetime]) -> None:
        self._people = people
        self._box = box
        self._trail = trail
        self._now = now

    def offer(self, session: OpenSession) -> tuple[bytes, str]:
        """A secret for an authenticator, and the same sealed, to come back with the first code."""
        secret = new_secret()
        purpose = f"{_OFFER_PURPOSE} {session.person_id}"
        return secret, self._box.seal(secret, purpose).hex()

    def offered(self, session: OpenSession, sealed: str) -> bytes:
        """The secret in `sealed`.

        Raises:
            ConfigError: it was not offered to this person by this installation.
        """
        try:
            return self._box.open(bytes.fromhex(sealed), f"{_OFFER_PURPOSE} {session.person_id}")
        except (SealBrokenError, ValueError) as error:
            raise ConfigError("the form is out of date; reload the page and try again") from error

    async def take(self, session: OpenSession, sealed: str, code: str, visitor: Visitor) -> list[str]:
        """Makes the secret that was offered the second factor of the owner of `session`, who has proved who they are;
        gives the recovery codes.

        Raises:
            UnauthorizedError: the code does not belong to it.
            ConfigError: nothing was offered, or there is a second factor already.
        """
        secret = self.offered(session, sealed)
        if session.second_factor:
            raise ConfigError("there is a second factor already; remove it first")
        step = accepted_step(secret, code, self._now(), None)
        if step is None:
            raise UnauthorizedError("the code does not belong to this picture; is the phone's clock right?")
        codes = new_recovery_codes()
        sealed_secret = self._box.seal(secret, TOTP_PURPOSE)
        digests = [recovery_digest(one) for one in codes]
        enter = self._entering(session, "second_factor.add", visitor)
        await self._people.set_second_factor(session.person_id, sealed_secret, digests, enter)
        await self._people.spend_step(session.person_id, step)
        return codes

    async def drop(self, session: OpenSession, visitor: Visitor) -> None:
        """Takes the second factor of the owner of `session` away; a code was checked before."""
        enter = self._entering(session, "second_factor.remove", visitor)
        await self._people.set_second_factor(session.person_id, None, [], enter)

    async def recovery_left(self, session: OpenSession) -> int:
        """How many recovery codes are left."""
        return await self._people.recovery_left(session.person_id)

    def _entering(self, session: OpenSession, action: str, visitor: Visitor) -> Enter:
        actor = f"person:{session.name}"
        return partial(self._trail.record, Act(actor, action, actor, None, visitor.address))
