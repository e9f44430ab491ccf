"""One file with all that a board needs, for sites whose boards do not reach the server's files."""

import gzip
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wayside_server.errors import ConfigError
from wayside_server.identity.home import write_whole
from wayside_server.packages.fetch import Progress
from wayside_server.packages.installer import Site, installer
from wayside_server.packages.shelf import Manifest, Shelf, sha256_of

ENDINGS = (".tar.gz", ".tgz")

_README = """Wayside {version}: all that a board needs, for a site without a network.
Kinds of board: {targets}

On the board, in this folder:

    sudo sh install.sh --bundle .

The files are checked against SHA256SUMS before anything is installed. Where this archive came from, its own SHA-256
was shown; compare it before you unpack. To enrol, the board must reach {url}; it can do so
later: put --no-enrol behind the line, and run it again without once there is a network.
"""


def export(shelf: Shelf, site: Site, into: Path, progress: Progress) -> str:
    """Writes the packages and the installer to `into`, a .tar.gz; returns its SHA-256.

    The same content makes the same archive, whenever and by whomever it is written.

    Raises:
        ConfigError: there are no packages, one is damaged, `into` has another ending or cannot be written.
    """
    if not into.name.endswith(ENDINGS):
        raise ConfigError(f"{into} is to be a .tar.gz; name it {into.stem.removesuffix('.tar')}.tar.gz")
    manifest = shelf.filled()
    stem = f"wayside-{manifest.version}-bundle"
    texts = _texts(shelf, manifest, site)
    sums = "".join(f"{file.sha256}  files/{file.name}\n" for file in manifest.files)
    unfinished = into.with_name(f".{into.name}.new")
    try:
        with unfinished.open("wb") as file, _packed(file) as archive:
            for name, text in sorted({**texts, "SHA256SUMS": sums}.items()):
                _put(archive, f"{stem}/{name}", text.encode())
            for number, package in enumerate(sorted(manifest.files, key=lambda one: one.name)):
                progress(number, len(manifest.files), package.name)
                content = (shelf.files / package.name).read_bytes()
                _put(archive, f"{stem}/files/{package.name}", content)
        digest = sha256_of(unfinished)
        unfinished.replace(into)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise ConfigError(f"cannot write {into}: {error.strerror}") from error
    write_whole(into.with_name(f"{into.name}.sha256"), f"{digest}  {into.name}\n".encode())
    return digest


def _texts(shelf: Shelf, manifest: Manifest, site: Site) -> dict[str, str]:
    texts = {"install.sh": installer(site)}
    texts["README"] = _README.format(version=manifest.version, targets=" ".join(manifest.targets), url=site.enrol_url)
    try:
        return texts | {name: (shelf.path / name).read_text(encoding="utf-8") for name in manifest.texts}
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}; run wayside-server packages fetch again") from error


@contextmanager
def _packed(file: BinaryIO) -> Iterator[tarfile.TarFile]:
    # gzip would else put the time and the name of the unfinished file into its head.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        yield archive


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    # Owner and time of an entry are 0 unless they are set.
    archive.addfile(entry, io.BytesIO(content))
