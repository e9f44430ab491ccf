"""The wheel of the running version, made from what is installed here.

A checkout is built as a release would be. An installation has no source to build from, but its RECORD names every
file with its hash, so the wheel is put together again from those, and a file that somebody has changed is noticed.
"""

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from wayside_server.errors import ConfigError

PROJECT = "wayside"
_CHECKOUT = Path(__file__).parents[3]
_MADE_BY_INSTALLERS = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest date that a zip file can hold: the same files make the same wheel."""
BUILD_TIMEOUT_S = 300


def make_wheel(folder: Path) -> Path:
    """Puts the wheel of the running version into `folder`.

    Raises:
        ConfigError: what is installed is not whole, or a checkout lacks its build tool; the message names the fix.
    """
    try:
        installed = distribution(PROJECT)
    except PackageNotFoundError as error:
        raise ConfigError(f"{PROJECT} is not installed; install it, then run this again") from error
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return _built(folder, installed.version)
    return repack(installed, folder)


def _built(folder: Path, version: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    ended = subprocess.run(command, cwd=_CHECKOUT, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    wheel = folder / f"{PROJECT}-{version}-py3-none-any.whl"
    if ended.returncode != 0 or not wheel.is_file():
        last = (ended.stderr.strip() or "it made no wheel").splitlines()[-1]
        raise ConfigError(f"cannot build {PROJECT} from {_CHECKOUT}: {last}; type: make setup")
    return wheel


def repack(installed: Distribution, folder: Path) -> Path:
    """Puts the wheel that `installed` came from into `folder`, made anew from its files.

    Raises:
        ConfigError: a file is missing or is not what was installed.
    """
    stem = f"{PROJECT}-{installed.version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    record = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_contents(installed, stem).items()):
            archive.writestr(_entry(name), content)
            record.append(f"{name},sha256={_digest(content)},{len(content)}")
        name = f"{stem}.dist-info/RECORD"
        archive.writestr(_entry(name), "\n".join([*record, f"{name},,", ""]))
    return wheel


def _contents(installed: Distribution, stem: str) -> dict[str, bytes]:
    """What belongs into the wheel, by its name there."""
    contents = {}
    for file in installed.files or ():
        path = Path(str(file.locate())).resolve()
        name = _name_in_wheel(PurePosixPath(file), path, stem)
        if name is None:
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}; install {PROJECT} again") from error
        if file.hash is None or file.hash.value != _digest(content):
            raise ConfigError(f"{path} is not as it was installed; install {PROJECT} again")
        contents[name] = content
    return contents


def _name_in_wheel(file: PurePosixPath, path: Path, stem: str) -> str | None:
    """The name of an installed file in its wheel; None for what an installer made."""
    if file.suffix == ".pyc" or (file.parent.name.endswith(".dist-info") and file.name in _MADE_BY_INSTALLERS):
        return None
    if file.parts[0] != "..":
        return str(file)
    inside = path.relative_to(Path(sys.prefix).resolve()) if path.is_relative_to(Path(sys.prefix).resolve()) else path
    return f"{stem}.data/data/{inside.as_posix()}" if inside.parts[0] == "share" else None


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
