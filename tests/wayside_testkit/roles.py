"""Somebody of each role, without a store of people or keys."""

from wayside_server.domain.access import Permission, Principal, Role, Session, permissions_of
from wayside_server.domain.audit import Act
from wayside_server.errors import StorageError, UnauthorizedError


class Roles:
    """`Access` whose keys and sessions name a role and a tenant, as `engineer-1`."""

    async def authenticate(self, bearer: str, address: str | None = None) -> Principal:
        name, _, tenant = bearer.partition("-")
        if name.upper() not in Role.__members__:
            raise UnauthorizedError("there is no such role")
        may = permissions_of(Role[name.upper()]) | {Permission.METRICS, Permission.SELF}
        return Principal(f"person:{name}", name, int(tenant), may)

    async def resume(self, session: str, *, active: bool = True) -> Principal:
        return await self.authenticate(session)

    async def sign_in(self, bearer: str) -> Session:
        raise AssertionError("nobody signs in here")

    async def redeem(self, link: str) -> Session:
        raise AssertionError("nobody has a link here")

    async def sign_out(self, session: str) -> None:
        raise AssertionError("nobody signs out here")


class Trail:
    """`AuditTrail` in memory; `acts` is what was recorded. With `full` it takes nothing more."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self.full = False

    async def record(self, act: Act) -> None:
        if self.full:
            raise StorageError("the trail takes nothing")
        self.acts.append(act)
