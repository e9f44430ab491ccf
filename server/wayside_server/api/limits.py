"""How often the caller may ask, and how much of it is used up."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from wayside_server.api.admission import share_of_address
from wayside_server.domain.access import Permission, requires
from wayside_server.domain.rates import Rates, Share, Usage


class LimitAnswer(BaseModel):
    """One limit of requests."""

    share: str = Field(description="address, key or tenant: whose requests are counted together")
    per_second: float = Field(description="requests that may be made on and on")
    burst: int = Field(description="requests that may be made at once after silence")
    left: int = Field(description="requests that may be made at once now")

    @classmethod
    def of(cls, usage: Usage) -> "LimitAnswer":
        """The answer for `usage`."""
        return cls(share=usage.share.value, per_second=usage.per_s, burst=usage.burst, left=usage.left)


class Limits(BaseModel):
    """The limits that hold for the caller; what is above them is answered with 429 and Retry-After."""

    limits: list[LimitAnswer]


def limits_router(rates: Rates) -> APIRouter:
    """The route /api/v1/limits."""
    router = APIRouter(prefix="/api/v1", tags=["limits"])

    @router.get("/limits")
    @requires(Permission.SELF)
    async def get_limits(request: Request) -> Limits:
        """How often the caller may ask, and how much of that is left."""
        principal = request.state.principal
        names = {Share.ADDRESS: share_of_address(request.scope), Share.KEY: principal.actor}
        if principal.tenant_id is not None:
            names[Share.TENANT] = str(principal.tenant_id)
        return Limits(limits=[LimitAnswer.of(rates.usage(share, name)) for share, name in names.items()])

    return router
