"""Dead letters: each with its bytes, up to what one device may take up; of what comes on top, what can be counted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from wayside_server.domain.ingest import DeadLetter
from wayside_server.domain.limits import LETTERS_OVER_QUOTA, DeviceLimits
from wayside_server.storage.database import Connection, fetch
from wayside_server.storage.ingest_group import Group, printable
from wayside_server.storage.statements import load_statements

_SQL = load_statements("ingest")

_Same: TypeAlias = tuple[str, str, bytes, str]
"""Device, code, SHA-256 and content type: letters that agree in them are one, counted."""


@dataclass(slots=True)
class _Row:
    letter: DeadLetter
    digest: bytes
    raw: bytes | None
    count: int = 1


async def bury(conn: Connection, group: Group, dead: Sequence[DeadLetter], limits: DeviceLimits) -> None:
    """Set `dead` aside. Their devices must be locked."""
    letters = [(letter, hashlib.sha256(letter.raw.payload).digest()) for letter in dead]
    same = [
        (letter.raw.device, letter.code.value, digest, printable(letter.raw.content_type) or "")
        for letter, digest in letters
    ]
    columns = {
        "devices": [device for device, _, _, _ in same],
        "codes": [code for _, code, _, _ in same],
        "digests": [digest for _, _, digest, _ in same],
        "content_types": [content_type for _, _, _, content_type in same],
    }
    found = await fetch(conn, _SQL["letters_known"], columns)
    known: set[_Same] = {(device, code, bytes(digest), of_type) for device, code, digest, of_type in found}
    kept = {device: [rows, size] for device, rows, size in await fetch(conn, _SQL["letters_kept"], columns)}
    single: dict[_Same, _Row] = {}
    summed: dict[tuple[str, str], _Row] = {}
    for (letter, digest), key in zip(letters, same, strict=True):
        device, code, _, _ = key
        usage = kept.setdefault(device, [0, 0])
        if key in single:
            single[key].count += 1
        elif key in known:
            single[key] = _Row(letter, digest, None)
        elif usage[0] < limits.dead_letters:
            fits = usage[1] + len(letter.raw.payload) <= limits.dead_letter_bytes
            single[key] = _Row(letter, digest, letter.raw.payload if fits else None)
            usage[0] += 1
            usage[1] += len(letter.raw.payload) if fits else 0
            if not fits:
                detail = f"{usage[1]} bytes of its dead letters are kept; of further ones size and SHA-256 are"
                group.note(device, LETTERS_OVER_QUOTA, detail)
        else:
            row = summed.setdefault((device, code), _Row(letter, digest, None, 0))
            row.letter, row.digest, row.count = letter, digest, row.count + 1
            detail = f"{usage[0]} of its dead letters are kept; further ones are counted by their code"
            group.note(device, LETTERS_OVER_QUOTA, detail)
    if single:
        await conn.execute(_SQL["bury"], _columns([single[key] for key in sorted(single)]))
    if summed:
        await conn.execute(_SQL["bury_summed"], _columns([summed[key] for key in sorted(summed)]))


def _columns(rows: Sequence[_Row]) -> dict[str, list[Any]]:
    return {
        "devices": [row.letter.raw.device for row in rows],
        "topics": [row.letter.raw.topic for row in rows],
        "content_types": [printable(row.letter.raw.content_type) for row in rows],
        "codes": [row.letter.code.value for row in rows],
        "details": [printable(row.letter.detail) for row in rows],
        "raws": [row.raw for row in rows],
        "sizes": [len(row.letter.raw.payload) for row in rows],
        "digests": [row.digest for row in rows],
        "counts": [row.count for row in rows],
    }
