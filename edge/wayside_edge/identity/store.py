"""Where key, certificate and CA certificates lie, so that a power cut at any moment leaves three that match.

The configuration names three files in one folder. Each is a link into `versions/current`, itself a link to a folder
with all three: whoever swaps that one link swaps all of them. Beside it stand `versions/new`, what is to be proved,
and `versions/old`, what was before. Folders that no link leads to are wiped.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity import wiping
from wayside_shared.renewal import Life

FOLDER: Final = "versions"
FACTS: Final = "life.json"
LINKS: Final = ("current", "new", "old", "next")
"""`next` is what an enrolment is about to make the present one."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one identity; without `key_file` the key is in a token."""

    ca_file: Path
    cert_file: Path
    key_file: Path | None

    def each(self) -> tuple[Path, ...]:
        """All of them that there are."""
        return tuple(path for path in (self.ca_file, self.cert_file, self.key_file) if path is not None)

    def within(self, folder: Path) -> "Files":
        """The same names in another folder."""
        key_file = None if self.key_file is None else folder / self.key_file.name
        return Files(folder / self.ca_file.name, folder / self.cert_file.name, key_file)


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to be kept: PEM texts, and from when to when the certificate is valid."""

    ca: bytes
    chain: bytes
    key: bytes | None
    life: Life


class IdentityStore:
    """The versions of one identity.

    Args:
        files: as the configuration names them.
        step: called after each change on the disk, so that tests can end the program there.

    Raises:
        ConfigError: the files are not in one folder, or have one name.
    """

    def __init__(self, files: Files, step: Callable[[], None] = lambda: None) -> None:
        names = {path.name for path in files.each()}
        if len({path.parent for path in files.each()}) != 1 or len(names) != len(files.each()):
            raise ConfigError(
                f"{', '.join(map(str, files.each()))} must be three files in one folder to be renewed; move them, and"
                " correct [uplink]"
            )
        self._files = files
        self._folder = files.cert_file.absolute().parent
        self._versions = self._folder / FOLDER
        self._step = step

    def present(self) -> Files:
        """The identity to use, in a folder that does not change under the reader."""
        placed = all(path.is_symlink() for path in self._files.each())
        return (self._at("current") if placed else None) or self._files

    def staged(self) -> Files | None:
        """What is to be proved, whole; None without."""
        files = self._at("new") if self._target("new") != self._target("current") else None
        return files if files is not None and (files.cert_file.parent / FACTS).exists() else None

    def old(self) -> Files | None:
        """What was before the present one; None without."""
        return self._at("old") if self._target("old") != self._target("current") else None

    def life(self, files: Files) -> Life | None:
        """From when to when the certificate in `files` is valid, where that was written down with it."""
        try:
            return Life(**json.loads((files.cert_file.parent / FACTS).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def stage(self, contents: Contents) -> None:
        """Lay `contents` beside the present identity.

        Raises:
            TransientError: the disk does not take it; what was there is as it was.
        """
        with _as_transient(self._folder):
            self._write(contents, "new")
            self._clean()

    def install(self, contents: Contents) -> None:
        """Make `contents` the present identity at once: the first one, or after an enrolment by hand.

        Raises:
            TransientError: the disk does not take it.
        """
        with _as_transient(self._folder):
            version = self._write(contents, "next")
            self._adopt()
            self._link("current", version)
            self._place()
            for link in ("next", "new", "old"):
                self._unlink(link)
            self._clean()

    def promote(self) -> None:
        """Make what was staged the present identity, and the present one the old.

        Raises:
            TransientError: the disk does not take it; one of both is present, whole.
        """
        with _as_transient(self._folder):
            self._adopt()
            staged, present = self._target("new"), self._target("current")
            if self.staged() is None or staged is None or present is None:
                return
            self._link("old", present)
            self._link("current", staged)
            self._unlink("new")
            self._place()
            self._clean()

    def roll_back(self) -> None:
        """Make the old identity the present one again."""
        with _as_transient(self._folder):
            old = self._target("old")
            if old is not None:
                self._link("current", old)
                self._unlink("old")
                self._clean()

    def drop_old(self) -> None:
        """Wipe the old identity."""
        with _as_transient(self._folder):
            self._unlink("old")
            self._clean()

    def discard(self) -> None:
        """Wipe what was staged."""
        with _as_transient(self._folder):
            self._unlink("new")
            self._clean()

    def _at(self, link: str) -> Files | None:
        version = self._target(link)
        return None if version is None else self._files.within(self._versions / version)

    def _target(self, link: str) -> str | None:
        try:
            return str((self._versions / link).readlink())
        except OSError:
            return None

    def _write(self, contents: Contents, link: str) -> str:
        """A version with `contents`. `link` leads to it from the start, so that nobody cleans it away meanwhile, and
        its facts are written last, so that it is whole once they are there."""
        version = secrets.token_hex(4)
        folder = self._versions / version
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._versions.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        self._link(link, version)
        files = self._files.within(folder)
        if files.key_file is not None and contents.key is not None:
            self._write_file(files.key_file, contents.key, 0o600)
        self._write_file(files.ca_file, contents.ca, 0o644)
        self._write_file(files.cert_file, contents.chain, 0o644)
        _sync_folder(folder)
        self._write_file(folder / FACTS, json.dumps(asdict(contents.life)).encode(), 0o644)
        _sync_folder(folder)
        _sync_folder(self._versions)
        return version

    def _write_file(self, path: Path, content: bytes, mode: int) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._step()

    def _adopt(self) -> None:
        """Take files that stand in the folder themselves, as a person or an older agent put them, into a version."""
        loose = [path for path in self._files.each() if path.exists() and not path.is_symlink()]
        if not loose or not all(path.exists() for path in self._files.each()):
            return
        held = {path.name: path.read_bytes() for path in self._files.each()}
        if held != self._held("current"):
            version = secrets.token_hex(4)
            folder = self._versions / version
            self._versions.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700)
            for path in self._files.each():
                mode = 0o600 if path == self._files.key_file else 0o644
                self._write_file(folder / path.name, held[path.name], mode)
            _sync_folder(folder)
            self._link("current", version)
        self._place()

    def _held(self, link: str) -> Mapping[str, bytes]:
        files = self._at(link)
        if files is None:
            return {}
        return {path.name: path.read_bytes() for path in files.each() if path.exists()}

    def _place(self) -> None:
        """Make the names of the configuration lead to the present version."""
        for path in self._files.each():
            aim = f"{FOLDER}/current/{path.name}"
            if not path.is_symlink() or str(path.readlink()) != aim:
                self._replace_by_link(self._folder / path.name, aim)

    def _link(self, name: str, version: str) -> None:
        self._replace_by_link(self._versions / name, version)

    def _replace_by_link(self, path: Path, aim: str) -> None:
        fresh = path.with_name(f".{path.name}.link")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(aim)
        fresh.replace(path)
        _sync_folder(path.parent)
        self._step()

    def _unlink(self, name: str) -> None:
        (self._versions / name).unlink(missing_ok=True)
        if self._versions.exists():
            _sync_folder(self._versions)
        self._step()

    def _clean(self) -> None:
        kept = {self._target(link) for link in LINKS}
        for folder in self._versions.iterdir():
            if folder.is_dir() and not folder.is_symlink() and folder.name not in kept:
                wiping.wipe_folder(folder)
                self._step()


class _as_transient:  # noqa: N801 - reads as the statement that it is
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            fix = f"let the agent's user write to {self._folder}, and see that the disk has room"
            raise TransientError(f"the identity cannot be kept: {error.strerror or error}; {fix}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
