"""Damage that gives values other types than their columns have: no error of SQLite's, and none that ends the agent."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from wayside_edge.errors import OutboxError
from wayside_edge.outbox import salvage
from wayside_edge.ports import ClosedBatch
from wayside_testkit.killed import BOOT, CLOCK, DELIVERED_UPTO, ROWS, everything, leave_killed, outbox

PENDING = set(range(DELIVERED_UPTO + 1, ROWS + 1))


@pytest.fixture
async def killed(tmp_path: Path) -> Path:
    return await leave_killed(tmp_path)


def damage(path: Path, sql: str) -> None:
    """Run `sql` with no column's constraint in its way, as a damaged page has none."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        schema = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").fetchall()
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') WHERE sql LIKE '% NOT NULL%'")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(sql)
        connection.execute("PRAGMA writable_schema=ON")
        connection.executemany("UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1 AND sql IS NOT NULL", schema)


NOTHING = "INSERT INTO batch (seq, state) VALUES (0, 0);"


@pytest.mark.parametrize(
    "sql",
    [
        NOTHING + "UPDATE epoch SET accepted = accepted + 1",
        NOTHING,
        "INSERT INTO batch (seq, state) VALUES (21, 0);",
        "UPDATE sqlite_sequence SET seq = NULL",
        "UPDATE sqlite_sequence SET seq = 7",
        "UPDATE sqlite_sequence SET seq = 9223372036854775807",
        "DELETE FROM sqlite_sequence",
        "UPDATE tally SET value = NULL",
        "UPDATE tally SET value = 'much'",
        "DELETE FROM tally",
        "UPDATE epoch SET accepted = NULL",
        "UPDATE batch SET digest = NULL; UPDATE epoch SET accepted = accepted + 1",
        "INSERT INTO recorded VALUES ('s', NULL); UPDATE epoch SET accepted = accepted + 1",
        "INSERT INTO recorded VALUES (CAST(x'ff' AS TEXT), 1); UPDATE epoch SET accepted = accepted + 1",
        "UPDATE seen_boot SET wall_ns = 'late', boot_id = NULL",
    ],
)
async def test_values_of_other_types_neither_end_the_agent_nor_stop_it(killed: Path, sql: str) -> None:
    damage(killed, sql)
    failed = 0
    while True:
        store = outbox(killed)
        try:
            await store.open()
            sent, declared = await everything(store)
            appended = await store.append(ClosedBatch(1, b"new", BOOT, CLOCK))
            break
        except OutboxError:
            failed += 1
            assert failed < 3, "it goes on by itself"
        finally:
            await store.close()
    assert {row.seq for row in sent} | set(declared) >= PENDING
    assert min(appended.added) > ROWS


async def test_an_open_that_fails_lets_the_file_go(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(killed, "UPDATE epoch SET accepted = accepted + 1")

    def misread(*_: object) -> None:
        raise TypeError

    failing = outbox(killed)
    with monkeypatch.context() as patched:
        patched.setattr(salvage, "_read", misread)
        with pytest.raises(OutboxError, match="move the file and the -wal beside it away"):
            await failing.open()
    other = outbox(killed)
    await other.open()
    assert {row.seq for row in (await everything(other))[0]} >= PENDING
    await other.close()
    await failing.close()
