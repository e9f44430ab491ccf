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
_LATER_USES = 0xFFFF
"""Few among all that a first salt can be: one begun at random, after a header was torn, is hardly taken for later."""


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
        sound: its header matches its checksum and is that of its frames; SQLite reads none of them otherwise.
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
    order = _word_order(magic if sound else _MAGIC | (sys.byteorder == "big"))
    used = _salts_in_use(data, order)
    if sound and not _is_next_use(data[_SALTS], used):
        used = data[_SALTS]
    else:
        # Where the frames belong to a later use, the disk has lost the write of the header.
        sound = False
    frames = list(_frames(data, order, used))
    # Of a log without its header the first frames cannot be checked, so that one can be all of it that is left.
    while frames and not (frames[-1].commit and (frames[-1].intact or not sound)):
        frames.pop()
    whole = next((place for place, frame in enumerate(frames) if not frame.intact), len(frames)) if sound else 0
    read = max((place + 1 for place, frame in enumerate(frames[:whole]) if frame.commit), default=0)
    return Log(frames, read, sound)


def holds_lost_commits(path: Path) -> bool:
    """Whether transactions that were flushed stand in the log of the database at `path` where SQLite reads none.

    Also when they may have: where so much is damaged that nobody can say.
    """
    log = read_log(path)
    database = path.read_bytes() if path.exists() else b""
    if not log.sound:
        # A power cut while a new use of the log begins leaves such a header, but then all of it is in the database.
        return not _is_in(database, log)
    if not database:
        # Nothing was ever written to the log before the first page of the file was; SQLite deletes the log of such.
        return bool(log.frames)
    unread = log.frames[log.read :]
    pages = [frame.page for frame in unread if frame.page]
    # No transaction writes a page twice, even where a frame that ended one cannot be read.
    return sum(frame.commit > 0 for frame in unread) > 1 or len(set(pages)) < len(pages)


def rolled_forward(path: Path, *, unchecked: bool = False) -> bytes:
    """The database at `path` with every intact frame of its log put in, also behind those that are not.

    Args:
        path: the database.
        unchecked: put those in too that do not match their checksum, as behind a lost frame: rows have their own.
    """
    log = read_log(path)
    image = bytearray(path.read_bytes())
    size = next((frame.commit for frame in reversed(log.frames) if frame.intact and frame.commit), 0)
    most = size or len(image) // PAGE_BYTES + len(log.frames)
    for frame in log.frames:
        if frame.intact or (unchecked and 0 < frame.page <= most):
            begin = (frame.page - 1) * PAGE_BYTES
            image.extend(bytes(max(0, begin + PAGE_BYTES - len(image))))
            image[begin : begin + PAGE_BYTES] = frame.content
    if size:
        del image[size * PAGE_BYTES :]
    return bytes(image)


def _is_in(database: bytes, log: Log) -> bool:
    """Whether the database is as the last transaction of the log left it; False when the log tells of none."""
    if not log.frames:
        return False
    latest = {frame.page: frame.content for frame in log.frames if 0 < frame.page <= log.frames[-1].commit}
    return bool(latest) and all(_page(database, page) == content for page, content in latest.items())


def _frames(data: bytes, order: str, used: bytes) -> Iterator[Frame]:
    before = data[24:32]
    for place in _places(data):
        page, commit, own, checksum = _FRAME.unpack_from(data, place)
        content = data[place + _FRAME.size : place + _FRAME.size + PAGE_BYTES]
        # Frames of earlier uses of the log have other salts.
        current = own == used and page > 0
        intact = current and _follows(data, order, place, before)
        yield Frame(page if current else 0, commit if current else 0, intact, content)
        before = checksum


def _salts_in_use(data: bytes, order: str) -> bytes:
    """The salts of the present use of a log as its frames tell: those of the first frame that carries on the
    checksum of the one before, or else those that most frames have."""
    salts: list[bytes] = []
    before = b""
    own: bytes
    for place in _places(data):
        page, _, own, checksum = _FRAME.unpack_from(data, place)
        if page > 0:
            if salts and own == salts[-1] and _follows(data, order, place, before):
                return own
            salts.append(own)
        before = checksum
    return max(salts, key=salts.count, default=b"")


def _is_next_use(salts: bytes, others: bytes) -> bool:
    """Whether `others` are salts of a use of the log soon after that with `salts`: each use adds one to the first."""
    first, second = (int.from_bytes(each[:4], "big") for each in (salts, others))
    return bool(others) and 0 < (second - first) & _MASK <= _LATER_USES


def _places(data: bytes) -> range:
    return range(_HEADER.size, len(data) - _FRAME.size - PAGE_BYTES + 1, _FRAME.size + PAGE_BYTES)


def _follows(data: bytes, order: str, place: int, before: bytes) -> bool:
    """Whether the frame at `place` matches its checksum, which goes on from that of the frame before."""
    content = data[place : place + 8] + data[place + _FRAME.size : place + _FRAME.size + PAGE_BYTES]
    first, second = struct.unpack(">II", before)
    return _pair(_checksum(order, (first, second), content)) == data[place + 16 : place + 24]


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
