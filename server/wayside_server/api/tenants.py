"""Tenants, for who administers the installation; and what one's own has and may have."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from wayside_server.api.asker import Asker
from wayside_server.api.schema import problems
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.moments import to_text
from wayside_server.domain.reading import Reading
from wayside_server.domain.tenants import MOST, NAME_PATTERN, Quota, Tenant, shares
from wayside_server.errors import ConfigError
from wayside_server.identity.tenants import MAX_TITLE, TakenError, Tenants

_Most = Annotated[int | None, Field(default=None, ge=0, le=MOST, description="null sets no limit")]


class ShareAnswer(BaseModel):
    """How much of something is had, and may be had."""

    used: int
    most: int | None = Field(description="null when there is no limit")


class UsageAnswer(BaseModel):
    """What a tenant has and may have."""

    tenant: str = Field(description="the tenant's name")
    devices: ShareAnswer = Field(description="devices that are known, whatever became of them")
    series: ShareAnswer = Field(description="series of all its devices")
    samples: ShareAnswer = Field(description="samples that are stored")

    @classmethod
    def of(cls, tenant: Tenant) -> "UsageAnswer":
        """The answer for `tenant`."""
        had = {name: ShareAnswer(used=used, most=most) for name, used, most in shares(tenant)}
        return cls(tenant=tenant.name, **had)


class TenantAnswer(BaseModel):
    """A tenant."""

    name: str
    title: str = Field(description="what people call it")
    created_at: str = Field(description="UTC, RFC 3339 with microseconds")
    closed_at: str | None = Field(description="when its deletion began; null for one in use")
    usage: UsageAnswer

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantAnswer":
        """The answer for `tenant`."""
        closed = None if tenant.closed_at is None else to_text(tenant.closed_at)
        return cls(
            name=tenant.name,
            title=tenant.title,
            created_at=to_text(tenant.created_at),
            closed_at=closed,
            usage=UsageAnswer.of(tenant),
        )


class TenantList(BaseModel):
    """All tenants in order of name."""

    tenants: list[TenantAnswer]


class NewTenant(BaseModel, extra="forbid"):
    """A tenant to make."""

    name: str = Field(pattern=NAME_PATTERN, description="by which programs name it; never changed")
    title: str = Field(min_length=1, max_length=MAX_TITLE, description="what people call it")
    max_devices: _Most
    max_series: _Most
    max_samples: _Most


def tenants_router(tenants: Tenants) -> APIRouter:
    """The routes /api/v1/tenants."""
    router = APIRouter(prefix="/api/v1/tenants", tags=["tenants"])

    @router.get("")
    @requires(Permission.INSTALL)
    async def list_tenants() -> TenantList:
        """All tenants, with what they have."""
        return TenantList(tenants=[TenantAnswer.of(tenant) for tenant in await tenants.every()])

    @router.post("", status_code=201, responses=problems({409: "There is a tenant of that name."}))
    @requires(Permission.INSTALL)
    async def create_tenant(request: Request, asker: Asker, tenant: NewTenant) -> TenantAnswer:
        """Makes a tenant, without people, keys or devices."""
        quota = Quota(tenant.max_devices, tenant.max_series, tenant.max_samples)
        address = None if request.client is None else request.client.host
        try:
            made = await tenants.create(tenant.name, tenant.title, quota, actor=asker.actor, address=address)
        except TakenError as error:
            raise HTTPException(409, error.message) from error
        except ConfigError as error:
            raise HTTPException(422, error.message) from error
        return TenantAnswer.of(made)

    return router


def usage_router(reading: Reading) -> APIRouter:
    """The route /api/v1/usage."""
    router = APIRouter(prefix="/api/v1/usage", tags=["tenants"])

    @router.get("")
    @requires(Permission.READ)
    async def get_usage(asker: Asker) -> UsageAnswer:
        """What the caller's tenant has and may have."""
        return UsageAnswer.of(await reading.within(asker).usage())

    return router
