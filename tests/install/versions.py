"""Other versions of the agent than the one at hand, to upgrade to."""

import base64
import dataclasses
import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wayside_server.packages.fetch import described, publish
from wayside_server.packages.own_wheel import PROJECT
from wayside_server.packages.shelf import Shelf


@contextmanager
def offering(shelf: Shelf, version: str, changes: dict[str, str]) -> Iterator[None]:
    """While the block runs, the server has `version`: the one that it has now, with files replaced by `changes`."""
    before = shelf.filled()
    (own,) = (file for file in before.files if file.project == PROJECT)
    kept = (shelf.files / own.name).read_bytes()
    made = _remade(shelf.files / own.name, before.version, version, changes)
    try:
        others = [file for file in before.files if file is not own]
        files = (*others, described(made, own=True))
        publish(shelf, dataclasses.replace(before, version=version, files=files))
        yield
    finally:
        (shelf.files / own.name).write_bytes(kept)
        described(shelf.files / own.name, own=True)
        publish(shelf, before)


def _remade(wheel: Path, old: str, new: str, changes: dict[str, str]) -> Path:
    target = wheel.with_name(wheel.name.replace(old, new, 1))
    record = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        for name in source.namelist():
            placed = name.replace(f"{PROJECT}-{old}.", f"{PROJECT}-{new}.", 1)
            content = changes[name].encode() if name in changes else source.read(name)
            if placed.endswith("/RECORD"):
                continue
            if placed.endswith("/METADATA"):
                content = content.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {new}\n".encode(), 1)
            if placed == "wayside_shared/__init__.py":
                content = content.replace(f'VERSION = "{old}"'.encode(), f'VERSION = "{new}"'.encode(), 1)
            copy.writestr(placed, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{placed},sha256={digest},{len(content)}")
        placed = f"{PROJECT}-{new}.dist-info/RECORD"
        copy.writestr(placed, "\n".join([*record, f"{placed},,", ""]))
    return target
