"""Which rows are a tenant's, in whatever tables there are: the catalogue tells, so no later table is forgotten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from psycopg import sql
from psycopg.rows import dict_row

from wayside_server.storage.database import Connection
from wayside_server.storage.statements import load_statements

_SQL = load_statements("tenants")

ROOT = "tenant"
OUTLIVE = frozenset({"audit_entry"})
"""Tables that keep what they have of a tenant when it is deleted: who did what, the deletion too, is never changed."""
_BY_NAME = {"tenant_id": ROOT, "device_id": "device", "series_id": "series", "stream_id": "stream"}
"""What these columns refer to, also where no constraint says so: one would be checked for each sample."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of a table, and the column of another one whose values it has."""

    column: str
    parent: str
    parent_column: str


@dataclass(frozen=True, slots=True)
class TenantRows:
    """Where a tenant has rows.

    Args:
        tables: their names; those that others refer to come behind the others, `ROOT` last.
        references: of each table, those that lead to the tenant; one to `ROOT` itself is the last.
        samples: those of the tables that have samples, by series and time; no constraint checks their series.
    """

    tables: Sequence[str]
    references: Mapping[str, Sequence[Reference]]
    samples: frozenset[str]

    def of(self, table: str, tenant_id: int) -> list[sql.Composable]:
        """Conditions on rows of `table`; those that meet any of them are the tenant's."""
        if table == ROOT:
            return [sql.SQL("id = {}").format(sql.Literal(tenant_id))]
        return [self._by(reference, tenant_id) for reference in self.references[table]]

    def _by(self, reference: Reference, tenant_id: int) -> sql.Composable:
        column = sql.Identifier(reference.column)
        if reference.parent == ROOT:
            return sql.SQL("{} = {}").format(column, sql.Literal(tenant_id))
        # The last one is the shortest way.
        theirs = self.of(reference.parent, tenant_id)[-1]
        parts = sql.Identifier(reference.parent_column), sql.Identifier(reference.parent), theirs
        return sql.SQL("{} IN (SELECT {} FROM {} WHERE {})").format(column, *parts)


async def find_tenant_rows(conn: Connection) -> TenantRows:
    """Reads the catalogue of `conn`'s database."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        tables = {row["name"]: set(row["columns"]) for row in await (await cursor.execute(_SQL["tables"])).fetchall()}
        constraints = await (await cursor.execute(_SQL["references"])).fetchall()
    found: dict[str, set[Reference]] = {name: set() for name in tables}
    for row in constraints:
        found[row["child"]].add(Reference(row["by_column"], row["parent"], row["parent_column"]))
    for name, columns in tables.items():
        found[name] |= {
            Reference(column, parent, "id")
            for column, parent in _BY_NAME.items()
            if column in columns and name != parent
        }
    reached = {ROOT}
    while more := {name for name in found.keys() - reached if any(one.parent in reached for one in found[name])}:
        reached |= more
    reached -= OUTLIVE
    references = {
        name: sorted(
            (one for one in found[name] if one.parent in reached and one.parent != name),
            key=lambda one: (one.parent == ROOT, one.column),
        )
        for name in reached
    }
    parents_first = TopologicalSorter({name: {one.parent for one in references[name]} for name in sorted(reached)})
    ordered = list(parents_first.static_order())[::-1]
    checked = {row["child"] for row in constraints if row["by_column"] == "series_id"}
    samples = frozenset(name for name in reached - checked if {"series_id", "ts"} <= tables[name])
    return TenantRows(ordered, references, samples)
