"""Incidents that others than a group at ingest note."""

from collections.abc import Sequence
from typing import TypeAlias

from wayside_server.storage.database import Connection, fetch
from wayside_server.storage.ingest_group import printable
from wayside_server.storage.statements import load_statements

_SQL = load_statements("ingest")

Noted: TypeAlias = tuple[int | None, str, str, int]
"""Device's id, kind, detail and how often it happened."""


async def enter_incidents(conn: Connection, noted: Sequence[Noted]) -> None:
    """Enters them; what has happened before goes on counting."""
    if not noted:
        return
    device_ids, kinds, details, counts = zip(*noted, strict=True)
    columns = {
        "device_ids": list(device_ids),
        "kinds": list(kinds),
        "details": [printable(detail) for detail in details],
        "counts": list(counts),
    }
    await fetch(conn, _SQL["incidents"], columns)
