"""Certificates by their end, and the revocation of devices."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from wayside_server.api.answers import TIME
from wayside_server.api.bodies import understood
from wayside_server.api.paging import Cursor, Limit, next_link, read_place, stale_cursor
from wayside_server.api.schema import DeviceName
from wayside_server.domain.access import Permission, Principal, requires
from wayside_server.domain.certificates import Certificate, Certificates, Standing
from wayside_server.domain.moments import from_us, to_text, to_us
from wayside_server.identity.crl import Reason
from wayside_server.identity.revocation import Revocations

QUESTION = "certificates"


class CertificateAnswer(BaseModel):
    """The certificate of a device that lasts longest."""

    device: str
    serial: str = Field(description="serial number, hexadecimal")
    not_before: str = Field(description=TIME)
    not_after: str = Field(description=TIME)
    life_used: float = Field(description="how much of its life has passed, from 0 to 1", ge=0, le=1)
    standing: Standing = Field(description="'near its end' with less than a sixth of its life left: not renewed")
    revoked_at: str | None = Field(description=f"when it, or its device, was revoked; {TIME}")
    revoked_reason: str | None

    @classmethod
    def of(cls, one: Certificate, now: datetime) -> "CertificateAnswer":
        """The answer for `one`."""
        return cls(
            device=one.device,
            serial=f"{one.serial:x}",
            not_before=to_text(one.not_before),
            not_after=to_text(one.not_after),
            life_used=round(one.life_used(now), 4),
            standing=one.standing(now),
            revoked_at=None if one.revoked_at is None else to_text(one.revoked_at),
            revoked_reason=one.revoked_reason,
        )


class CertificatePage(BaseModel):
    """Certificates, the one that ends first before all."""

    certificates: list[CertificateAnswer]
    next: str | None = Field(description="path of the next page; null at the end")


class RevocationRequest(BaseModel):
    """Why a device is revoked."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(
        default=Reason.UNSPECIFIED, description="only `hold` can be taken back without a new enrolment"
    )


class RevocationAnswer(BaseModel):
    """What became of a device's certificates."""

    device: str
    certificates: int = Field(description="how many of its unexpired certificates are revoked now")
    released: int = Field(description="how many that were on hold are good again")


def certificates_router(certificates: Certificates, revocations: Revocations) -> APIRouter:
    """The routes /api/v1/certificates and those that revoke and restore a device."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/certificates", tags=["certificates"])
    @requires(Permission.READ)
    async def list_certificates(request: Request, limit: Limit = 100, cursor: Cursor = None) -> CertificatePage:
        """Of each device the certificate that lasts longest, by their end."""
        principal: Principal = request.state.principal
        after = None if cursor is None else _place(cursor)
        found = await certificates.certificates(principal.tenant_id, after=after, limit=limit + 1)
        page, now = found[:limit], datetime.now(UTC)
        onward = None
        if len(found) > limit:
            onward = next_link(request, [to_us(page[-1].not_after), page[-1].device_id], QUESTION)
        return CertificatePage(certificates=[CertificateAnswer.of(one, now) for one in page], next=onward)

    @router.post("/devices/{device}/revoke", tags=["devices"])
    @requires(Permission.MANAGE)
    async def revoke_device(request: Request, device: DeviceName, body: RevocationRequest) -> RevocationAnswer:
        """Lets a device in no more: what it sends is not stored from now on, and its session ends within seconds."""
        marked = await revocations.revoke(device, request.state.principal, body.reason, _address(request))
        return RevocationAnswer(device=device, certificates=marked.certificates, released=marked.released)

    @router.post("/devices/{device}/restore", tags=["devices"])
    @requires(Permission.MANAGE)
    async def restore_device(request: Request, device: DeviceName) -> RevocationAnswer:
        """Lets a device in again; unless it was revoked for the time being (`hold`), it must be enrolled anew."""
        with understood():
            marked = await revocations.restore(device, request.state.principal, _address(request))
        return RevocationAnswer(device=device, certificates=marked.certificates, released=marked.released)

    return router


def _place(cursor: str) -> tuple[datetime, int]:
    end_us, number = read_place(cursor, QUESTION, int, int)
    try:
        return from_us(int(end_us)), int(number)
    except OverflowError as error:
        raise stale_cursor() from error


def _address(request: Request) -> str | None:
    return request.client.host if request.client else None
