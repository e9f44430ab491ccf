"""Up to which recorded time each series was accepted, kept in the transaction that accepts it."""

import sqlite3
from collections.abc import Mapping

SCHEMA = "CREATE TABLE IF NOT EXISTS recorded (series TEXT PRIMARY KEY, upto_ns INTEGER NOT NULL)"


def note(connection: sqlite3.Connection, latest: Mapping[str, int]) -> None:
    """Enter the latest recorded time of each series, in UTC nanoseconds."""
    connection.executemany(
        "INSERT INTO recorded VALUES (?, ?)"
        " ON CONFLICT (series) DO UPDATE SET upto_ns = max(upto_ns, excluded.upto_ns)",
        list(latest.items()),
    )


def upto(connection: sqlite3.Connection, sensor: str = "") -> Mapping[str, int]:
    """The latest recorded time accepted of each reading of `sensor`, in UTC nanoseconds; of each series without one."""
    prefix = sensor and f"{sensor}."
    found = connection.execute("SELECT series, upto_ns FROM recorded")
    return {series[len(prefix) :]: upto_ns for series, upto_ns in found if series.startswith(prefix)}
