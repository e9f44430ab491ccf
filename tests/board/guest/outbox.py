"""What is in an outbox of which no agent is in charge."""

import sqlite3
from contextlib import closing
from pathlib import Path


def batches(folder: str) -> list[tuple[str, int, int]]:
    """Epoch, number and samples of each batch in the outbox below `folder`; none in one that cannot be read."""
    path = Path(folder) / "outbox.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        try:
            return connection.execute("SELECT lower(hex(epoch)), seq, n FROM batch").fetchall()
        except sqlite3.DatabaseError:
            return []
