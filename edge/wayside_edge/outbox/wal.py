"""SQLite's write-ahead log as its file format has it: what SQLite itself passes over in silence.

SQLite reads a log up to the first frame whose checksum is wrong and takes the rest for never written. After a power
cut that is right: the last transaction was not flushed, so nobody was told that it is durable. But only the last can
have been cut short. Where more than one stands behind the wrong frame, transactions that were flushed are lost, and
nothing says so but the log. Source: sqlite.org/fileformat2.html, section 4.
"""

import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = 4096
"""What `connect` makes: SQLite's default since 3.12."""
_MAGIC = 0x377F0682
"""The last bit says in which byte order checksums are reckoned: 1 is big-endian."""
_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">II8s8s")
_SALTS = slice(16, 24)
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One page as a transaction left it.

    Args:
        page: its number, from 1; 0 where that cannot be read.
        commit: pages of the database after the transaction, in its last frame; 0 in others.
        intact: it matches its checksum, which goes on from that of the frame before.
        content: the page.
    """

    page: int
    commit: int
    intact: bool
    content: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """What stands in a log, as far as it belongs to its present use.

    Args:
        frames: up to the last that ends a transaction.
        read: how many of them SQLite reads.
        sound: its header matches its checksum; SQLite reads nothing of a log whose header does not.
    """

    frames: Sequence[Frame]
    read: int
    sound: bool


def read_log(path: Path) -> Log:
    """The log beside the database at `path`; an empty one when there is none."""
    file = Path(f"{path}-wal")
    data = file.read_bytes() if file.exists() else b""
    if len(data) <= _HEADER.size:
        return Log([], 0, True)
    magic, _, page_bytes, *_ = _HEADER.unpack_from(data)
    checksum = _checksum(_word_order(magic), (0, 0), data[:24])
    sound = magic | 1 == _MAGIC | 1 and page_bytes == PAGE_BYTES and _pair(checksum) == data[24:32]
    frames = list(_frames(data, magic if sound else _MAGIC | (sys.byteorder == "big"), sound))
    while frames and not (frames[-1].intact and frames[-1].commit):
        frames.pop()
    whole = next((place for place, frame in enumerate(frames) if not frame.intact), len(frames)) if sound else 0
    read = max((place + 1 for place, frame in enumerate(frames[:whole]) if frame.commit), default=0)
    return Log(frames, read, sound)


def holds_lost_commits(path: Path) -> bool:
    """Whether transactions that were flushed stand in the log of the database at `path` where SQLite reads none."""
    log = read_log(path)
    unread = log.frames[log.read :]
    if not unread:
        return False
    if not log.sound:
        # A power cut while a new use of the log begins leaves such a header, but then all of it is in the database.
        database = path.read_bytes()
        latest = {frame.page: frame.content for frame in unread if frame.intact}
        return any(_page(database, page) != content for page, content in latest.items())
    pages = [frame.page for frame in unread if frame.page]
    # No transaction writes a page twice, even where a frame that ended one cannot be read.
    return sum(frame.commit > 0 for frame in unread) > 1 or len(set(pages)) < len(pages)


def rolled_forward(path: Path) -> bytes:
    """The database at `path` with every intact frame of its log put in, also behind those that are not."""
    log = read_log(path)
    image = bytearray(path.read_bytes())
    for frame in log.frames:
        if frame.intact:
            begin = (frame.page - 1) * PAGE_BYTES
            image.extend(bytes(max(0, begin + PAGE_BYTES - len(image))))
            image[begin : begin + PAGE_BYTES] = frame.content
    if log.frames:
        del image[log.frames[-1].commit * PAGE_BYTES :]
    return bytes(image)


def _frames(data: bytes, magic: int, sound: bool) -> Iterator[Frame]:
    order = _word_order(magic)
    places = range(_HEADER.size, len(data) - _FRAME.size - PAGE_BYTES + 1, _FRAME.size + PAGE_BYTES)
    # Frames of earlier uses of the log have other salts. A header that is damaged has lost its own.
    salts = data[_SALTS] if sound or not places else _FRAME.unpack_from(data, places[0])[2]
    before = data[24:32]
    for place in places:
        page, commit, own, checksum = _FRAME.unpack_from(data, place)
        content = data[place + _FRAME.size : place + _FRAME.size + PAGE_BYTES]
        current = own == salts and page > 0
        seed = struct.unpack(">II", before)
        reckoned = _checksum(order, seed, data[place : place + 8] + content) if current else None
        intact = reckoned is not None and _pair(reckoned) == checksum
        yield Frame(page if current else 0, commit if current else 0, intact, content)
        before = checksum


def _checksum(order: str, seed: tuple[int, int], data: bytes) -> tuple[int, int]:
    first, second = seed
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


def _word_order(magic: int) -> str:
    return ">" if magic & 1 else "<"


def _pair(checksum: tuple[int, int]) -> bytes:
    return struct.pack(">II", *checksum)


def _page(database: bytes, page: int) -> bytes:
    return database[(page - 1) * PAGE_BYTES : page * PAGE_BYTES]
