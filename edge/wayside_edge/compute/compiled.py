"""What compiling a module gave, kept for the next start: a device compiles a module once.

wasmtime believes what it loads, so a file is used only when its HMAC fits, under a key that was made here and is kept
beside it: a damaged file, or one from another machine, is compiled anew. Whoever can read this folder as the agent can
do all that the agent can.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wayside_shared.errors import WaysideError

KEY_FILE: Final = "key"
KEY_BYTES: Final = 32
SUFFIX: Final = ".cwasm"
NEW: Final = ".new-"
LEFT_AFTER_S: Final = 3600
"""A file half written takes its writer milliseconds; one so old has no writer any more."""
MOST_FILES: Final = 32
"""Modules of 100 KiB give files of about 400 KiB; more than this many are not in use at once. The oldest go."""
MAX_FILE_BYTES: Final = 32 * 1024 * 1024
TAG_BYTES: Final = hashlib.sha256().digest_size


class CacheError(WaysideError):
    """The cache is not used this time; the message says why, for the log."""


class CompiledModules:
    """A folder of compiled modules. Building it opens the folder.

    Args:
        folder: it; it must exist, belong to this user, and be closed to all others.

    Raises:
        CacheError: it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            _check(folder, stat.S_ISDIR, "folder")
            self._key = _key(folder)
        except OSError as error:
            raise CacheError(f"{folder}: {error.strerror}") from error

    def get(self, identity: str) -> bytes | None:
        """What was kept under `identity`; None when there is nothing.

        Raises:
            CacheError: what is there is damaged, or was not made here.
        """
        path = self._path(identity)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise CacheError(f"{path}: it is larger than any that was made here")
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheError(f"{path}: {error.strerror}") from error
        tag, compiled = data[:TAG_BYTES], data[TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(identity, compiled)):
            raise CacheError(f"{path}: it is damaged, or was not made here")
        return compiled

    def put(self, identity: str, compiled: bytes) -> None:
        """Keep `compiled` under `identity`, in place of what was there.

        Raises:
            CacheError: it cannot be written.
        """
        path = self._path(identity)
        try:
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=NEW)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(self._tag(identity, compiled) + compiled)
                Path(name).replace(path)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._forget()
        except OSError as error:
            raise CacheError(f"{path}: {error.strerror}") from error

    def _path(self, identity: str) -> Path:
        return self._folder / (hashlib.sha256(identity.encode()).hexdigest() + SUFFIX)

    def _tag(self, identity: str, compiled: bytes) -> bytes:
        return hmac.digest(self._key, identity.encode() + b"\0" + compiled, "sha256")

    def _forget(self) -> None:
        """Remove the oldest files over the limit, and what a writer that was killed left."""
        files = sorted(self._folder.glob(f"*{SUFFIX}"), key=_written_s)
        left = [path for path in self._folder.glob(f"{NEW}*") if _written_s(path) < time.time() - LEFT_AFTER_S]
        for path in [*files[:-MOST_FILES], *left]:
            path.unlink(missing_ok=True)


def _written_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another worker of this agent was faster
        return 0.0


def _check(path: Path, is_kind: Callable[[int], bool], what: str) -> None:
    found = path.lstat()
    if not is_kind(found.st_mode):
        raise CacheError(f"{path} is no {what}")
    if found.st_uid != os.geteuid():
        raise CacheError(f"{path} belongs to user {found.st_uid}, not to this one")
    if found.st_mode & 0o077:
        raise CacheError(f"{path} is open to others (mode {stat.S_IMODE(found.st_mode):o}); close it: chmod go= {path}")


def _key(folder: Path) -> bytes:
    path = folder / KEY_FILE
    if not path.exists():
        _make_key(path)
    _check(path, stat.S_ISREG, "file")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise CacheError(f"{path} has {len(key)} bytes, not {KEY_BYTES}; remove it and a new one is made")
    return key


def _make_key(path: Path) -> None:
    """Make it under another name and link it: another worker sees a whole key or none, and the first one stays."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        Path(name).unlink(missing_ok=True)
