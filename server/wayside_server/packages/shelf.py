"""The folder of packages, `<home>/packages`: `files/` with wheels, requirements files, and `manifest.json` over all.

Only what the manifest names is served. It is written last and at once, so that whoever reads meanwhile finds the
packages of before.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home, write_whole

FETCH = "wayside-server packages fetch"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A wheel or source archive.

    Args:
        name: its file name.
        project: whose it is, normalised (PEP 503).
        sha256: of its content, in hexadecimal.
        size: in bytes.
        metadata_sha256: of its METADATA beside it (PEP 658); None for a source archive.
        own: made here, not fetched: the agent itself, and what was built from source.
    """

    name: str
    project: str
    sha256: str
    size: int
    metadata_sha256: str | None
    own: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that is on the shelf.

    Args:
        version: of the agent.
        pip: file name of pip's wheel, with which boards install.
        extras: sets of packages beside `edge`: `compute`.
        targets: kinds of board, such as `aarch64-3.11`.
        optional: projects without which the agent runs; each has a requirements file of its own.
        lacking: `project target` for those of `optional` that have no wheel: built on the board, or left out.
        files: wheels and source archives.
    """

    version: str
    pip: str
    extras: tuple[str, ...]
    targets: tuple[str, ...]
    optional: tuple[str, ...]
    lacking: tuple[str, ...]
    files: tuple[PackageFile, ...]

    def file(self, project: str, name: str) -> PackageFile | None:
        """The file of this name; None when there is none."""
        return next((file for file in self.files if file.name == name and file.project == project), None)

    @property
    def texts(self) -> tuple[str, ...]:
        """Names of the small files that an installation reads first."""
        return ("release", *(f"{name}.txt" for name in ("edge", *self.extras, *self.optional)))

    @property
    def release(self) -> str:
        """The text `release`: what the installer must know, one `key=value` a line."""
        pip = next(file for file in self.files if file.name == self.pip)
        lines = {
            "version": self.version,
            "pip": f"{pip.name} {pip.sha256}",
            "extras": " ".join(self.extras),
            "optional": " ".join(self.optional),
            "targets": " ".join(self.targets),
        }
        return "".join(f"{key}={value}\n" for key, value in lines.items())


class Shelf:
    """The packages of one installation; nothing is read before it is asked for."""

    def __init__(self, home: Home) -> None:
        self.path = home.path / "packages"
        self.files = self.path / "files"
        self._manifest_file = self.path / "manifest.json"
        self._known: tuple[int, Manifest] | None = None

    def manifest(self) -> Manifest | None:
        """What is there; None before the first fetch.

        Raises:
            ConfigError: the manifest cannot be read.
        """
        try:
            changed = self._manifest_file.stat().st_mtime_ns
            if self._known is None or self._known[0] != changed:
                self._known = changed, _manifest(json.loads(self._manifest_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{self._manifest_file} cannot be read: {error}; run {FETCH} again") from error
        return self._known[1]

    def filled(self) -> Manifest:
        """What is there.

        Raises:
            ConfigError: nothing is, or it cannot be read.
        """
        found = self.manifest()
        if found is None:
            raise ConfigError(f"{self.path} holds no packages yet; run {FETCH}")
        return found

    def publish(self, manifest: Manifest, texts: dict[str, str]) -> None:
        """Make `manifest` and the requirements `texts` what is there from now on; remove files that it does not name.

        Raises:
            ConfigError: the folder cannot be written.
        """
        for name, text in texts.items():
            write_whole(self.path / name, text.encode())
        write_whole(self.path / "release", manifest.release.encode())
        write_whole(self._manifest_file, json.dumps(asdict(manifest), indent=1).encode())
        wanted = {file.name for file in manifest.files}
        for path in self.files.iterdir():
            if path.name.removesuffix(".metadata") not in wanted:
                path.unlink()

    def faults(self) -> Iterator[tuple[PackageFile, str | None]]:
        """Reads every file; with each, what is wrong with it, None when nothing is."""
        for file in self.filled().files:
            yield file, self._fault(file)

    def _fault(self, file: PackageFile) -> str | None:
        try:
            found = sha256_of(self.files / file.name)
        except OSError as error:
            return str(error.strerror)
        return None if found == file.sha256 else f"its SHA-256 is {found}, the manifest says {file.sha256}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _manifest(content: dict[str, Any]) -> Manifest:
    files = tuple(PackageFile(**file) for file in content.pop("files"))
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    return Manifest(files=files, **plain)
