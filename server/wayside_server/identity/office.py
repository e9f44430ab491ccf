"""All of enrolment on one store, as the API and the console use it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from wayside_server.domain.audit import AuditTrail
from wayside_server.domain.caller import Caller
from wayside_server.errors import NotFoundError
from wayside_server.identity.authority import Authority
from wayside_server.identity.claims import Claims
from wayside_server.identity.device_access import DeviceCertificates
from wayside_server.identity.enrolment import Enrolments, EnrolmentStore, RevocationList
from wayside_server.identity.issuing import Issuer
from wayside_server.identity.refusing import Refusal, RefusalDesk, Refusals
from wayside_server.identity.tokens import Tokens, TokenStore
from wayside_server.identity.waiting import ClaimStore


class OfficeStore(TokenStore, EnrolmentStore, ClaimStore, Protocol):
    """Where everything of enrolment is kept."""


@dataclass(frozen=True, slots=True)
class EnrolmentOffice:
    """The services of enrolment.

    Args:
        authority: whose certificates are handed out.
        tokens: makes, lists and revokes tokens.
        enrolments: takes tokens and certificates against new certificates.
        claims: lets devices wait, and people decide.
        devices: establishes devices by their certificates.
        desk: notes what is refused.
        now: the time, aware.
    """

    authority: Authority
    tokens: Tokens
    enrolments: Enrolments
    claims: Claims
    devices: DeviceCertificates
    desk: RefusalDesk
    now: Callable[[], datetime]

    async def claim(
        self, code: str, group: str | None, name: str | None, caller: Caller, *, replace: bool = False
    ) -> str:
        """As `Claims.claim`; a code that no device shows is noted."""
        try:
            return await self.claims.claim(code, group, name, caller, replace=replace)
        except NotFoundError as error:
            subject, who = "code", (caller.address, caller.actor, caller.tenant_id)
            await self.desk.refuse(Refusal("claim_code", str(error), "enrolment.claim", subject, *who))
            raise


def open_office(
    authority: Authority,
    store: OfficeStore,
    *,
    refusals: Refusals,
    revocations: RevocationList,
    trail: AuditTrail,
    certificate_days: int,
    now: Callable[[], datetime],
) -> EnrolmentOffice:
    """The services of enrolment, joined.

    Args:
        authority: who signs.
        store: where everything is kept.
        refusals: where refusals are counted.
        revocations: which certificates count no more.
        trail: the audit trail.
        certificate_days: life of a device's certificate.
        now: the time, aware.
    """
    issuer = Issuer(authority, certificate_days)
    desk = RefusalDesk(refusals, trail, now)
    enrolments = Enrolments(issuer, store, revocations, trail, now)
    return EnrolmentOffice(
        authority=authority,
        tokens=Tokens(authority.fingerprint, store, trail, now),
        enrolments=enrolments,
        claims=Claims(issuer, store, revocations, trail, now),
        devices=DeviceCertificates(store, enrolments, desk, now),
        desk=desk,
        now=now,
    )
