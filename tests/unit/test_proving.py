"""With which identity the agent connects, and what the renewal hears of it (rows 8 and 11)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from wayside_edge.errors import DeviceRefusedError, TransientError
from wayside_edge.identity.proving import ProvingTransport
from wayside_edge.identity.store import Files
from wayside_edge.ports import Incoming, Outgoing
from wayside_shared.renewal import Disproved, Event, FellBack, Life, Proved

LIFE = Life(1, 0, 1_000_000)


def identity(name: str) -> Files:
    return Files(Path("ca.pem"), Path(name), Path("key"))


NEW, PRESENT, OLD = identity("new"), identity("present"), identity("old")


class Session:
    ended = ""

    def __init__(self, files: Files) -> None:
        self.files = files

    def publish(self, message: Outgoing) -> None:
        raise AssertionError(message)

    async def incoming(self) -> AsyncIterator[Incoming]:
        return
        yield

    async def close(self) -> None:
        pass


@dataclass
class Board:
    """A broker that takes some identities, and refuses or does not hear the others."""

    taken: set[Files]
    staged: Files | None = None
    old: Files | None = None
    away: bool = False
    now: float | None = 500_000.0
    heard: list[Event] = field(default_factory=list)

    def candidates(self) -> tuple[Files | None, Files, Files | None]:
        return self.staged, PRESENT, self.old

    async def life(self, files: Files) -> Life | None:
        return LIFE

    async def deal(self, event: Event) -> None:
        self.heard.append(event)

    def now_s(self) -> float | None:
        return self.now

    async def dial(self, files: Files) -> Session:
        if self.away:
            raise TransientError("no route")
        if files not in self.taken:
            raise DeviceRefusedError(f"refused {files.cert_file}")
        return Session(files)

    async def connect(self) -> Files:
        connection = await ProvingTransport(self, self.dial).connect()
        assert isinstance(connection, Session)
        return connection.files


async def test_what_is_to_be_proved_comes_first() -> None:
    board = Board({NEW, PRESENT}, staged=NEW)
    assert await board.connect() == NEW
    assert board.heard == [Proved()]


async def test_a_refused_new_identity_falls_back_within_the_attempt() -> None:
    board = Board({PRESENT}, staged=NEW)
    assert await board.connect() == PRESENT
    assert board.heard == [Disproved("refused new")]


async def test_a_broker_that_is_away_proves_nothing() -> None:
    board = Board(set(), staged=NEW, old=OLD, away=True)
    with pytest.raises(TransientError, match="no route"):
        await board.connect()
    assert board.heard == []


async def test_a_present_identity_that_is_refused_gives_way_to_the_old_one() -> None:
    board = Board({OLD}, old=OLD)
    assert await board.connect() == OLD
    (heard,) = board.heard
    assert isinstance(heard, FellBack)
    assert (heard.life, heard.reason.startswith("refused present")) == (LIFE, True)


async def test_when_all_are_refused_nothing_is_taken_back() -> None:
    board = Board(set(), old=OLD)
    with pytest.raises(DeviceRefusedError, match="refused present"):
        await board.connect()
    assert board.heard == []


@pytest.mark.parametrize(
    ("now", "said"),
    [(500_000.0, "it was revoked, or the broker does not know its CA"), (1_000_000.0, "by its own clock"), (None, "")],
)
async def test_a_refusal_says_whether_the_certificate_has_ended_row_8(now: float | None, said: str) -> None:
    with pytest.raises(DeviceRefusedError) as refusal:
        await Board(set(), now=now).connect()
    assert said in str(refusal.value)
    assert ("expired" in str(refusal.value)) is (now == 1_000_000.0)
