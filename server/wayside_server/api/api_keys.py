"""API keys over HTTP: to see, make and revoke those of one's tenant."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from wayside_server.api.schema import problems
from wayside_server.domain.access import SCOPES, Permission, Principal, requires
from wayside_server.errors import ConfigError
from wayside_server.identity.keys import KEY_LIFE, MAX_KEY_LIFE, KeyRecord, Keys, scopes_of

Prefix = Annotated[str, Path(pattern="^[a-z0-9]{8}$", description="the key's public part")]


class KeyRequest(BaseModel):
    """What a new key is to be."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(description="what it is for", min_length=1, max_length=100)
    scopes: list[str] = Field(
        description=f"what it may: some of {', '.join(scope.value for scope in SCOPES)}; no more than its maker",
        min_length=1,
        max_length=len(SCOPES),
    )
    days: int = Field(KEY_LIFE.days, description="how long it is good", ge=1, le=MAX_KEY_LIFE.days)


class KeyAnswer(BaseModel):
    """A key, without its secret."""

    prefix: str = Field(description="its public part, by which it is named")
    label: str = Field(description="what it is for")
    scopes: list[str] = Field(description="what it was given")
    may: list[str] = Field(description="what it may at this moment: less, when its person may less by now")
    made_by: str = Field(description="who made it")
    created_at: datetime
    expires_at: datetime | None = Field(description="null: until it is revoked")
    revoked_at: datetime | None
    last_used: datetime | None = Field(description="exact to a minute")

    @classmethod
    def of(cls, record: KeyRecord) -> "KeyAnswer":
        """The answer for `record`."""
        may = sorted(one.value for one in record.permissions() if one is not Permission.SELF)
        return cls(
            prefix=record.prefix,
            label=record.label,
            scopes=sorted(record.scopes),
            may=may,
            made_by=record.made_by,
            created_at=record.created_at,
            expires_at=record.expires_at,
            revoked_at=record.revoked_at,
            last_used=record.last_used,
        )


class KeyList(BaseModel):
    """The keys of the tenant, oldest first."""

    keys: list[KeyAnswer]


class NewKeyAnswer(KeyAnswer):
    """A new key; its text is shown this once."""

    key: str = Field(description="to be sent as Authorization: Bearer")


def api_keys_router(keys: Keys) -> APIRouter:
    """The routes below /api/v1/api-keys."""
    router = APIRouter(prefix="/api/v1/api-keys", tags=["api keys"])

    @router.get("")
    @requires(Permission.ADMINISTER)
    async def list_keys(request: Request) -> KeyList:
        """The keys of the tenant, also those that have ended."""
        return KeyList(keys=[KeyAnswer.of(record) for record in await keys.list(_tenant_of(request))])

    @router.post("", status_code=201)
    @requires(Permission.ADMINISTER)
    async def create_key(request: Request, wanted: KeyRequest) -> NewKeyAnswer:
        """A new key of the tenant. It may no more than its maker, ends with it, and is shown once."""
        _tenant_of(request)
        by: Principal = request.state.principal
        try:
            text, record = await keys.create_for(
                by, wanted.label, timedelta(days=wanted.days), scopes_of(wanted.scopes), address_of(request)
            )
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        return NewKeyAnswer(**KeyAnswer.of(record).model_dump(), key=text)

    @router.delete("/{prefix}", status_code=204, responses=problems({404: "The tenant has no such key."}))
    @requires(Permission.ADMINISTER)
    async def revoke_key(request: Request, prefix: Prefix) -> None:
        """Ends a key, and those that it made, for good."""
        by: Principal = request.state.principal
        await keys.revoke(prefix, tenant_id=_tenant_of(request), actor=by.actor, address=address_of(request))

    return router


def address_of(request: Request) -> str | None:
    """From where it is asked."""
    return request.client.host if request.client else None


def _tenant_of(request: Request) -> int:
    principal: Principal = request.state.principal
    if principal.tenant_id is None:
        raise HTTPException(403, "choose a tenant first, on the page Account")
    return principal.tenant_id
