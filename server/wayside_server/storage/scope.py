"""Whose answers a transaction gives: the database shows it nothing else."""

from dataclasses import dataclass

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from wayside_server.domain.access import Principal, sees_installation
from wayside_server.storage.roles import APP_ROLE
from wayside_server.storage.statements import load_statements

_SQL = load_statements("scope")

STATEMENT_TIMEOUT = "30s"
"""A question that takes longer is asked of too much; exports have their own way."""
NO_TIMEOUT = "0"


@dataclass(frozen=True, slots=True)
class Scope:
    """What may be seen.

    Args:
        tenant_id: the tenant whose rows; None for no tenant's.
        installation: what belongs to no tenant, too.
    """

    tenant_id: int | None
    installation: bool

    @classmethod
    def of(cls, asker: Principal) -> "Scope":
        """What `asker` may see."""
        return cls(asker.tenant_id, sees_installation(asker))

    async def enter(
        self, cursor: AsyncCursor[DictRow], *, longest: str = STATEMENT_TIMEOUT, by_index: bool = False
    ) -> None:
        """Bounds the transaction of `cursor`, which has just begun, to this scope and to one moment.

        Args:
            cursor: of the transaction.
            longest: how long a statement may take.
            by_index: read series in the order of the index, without sorting.
        """
        await cursor.execute(_SQL["begin"])
        settings = {
            "role": APP_ROLE,
            "tenant": "" if self.tenant_id is None else str(self.tenant_id),
            "installation": "on" if self.installation else "off",
            "timeout": longest,
        }
        await cursor.execute(_SQL["enter"], settings)
        if by_index:
            await cursor.execute(_SQL["by_index"])
