"""Fills the shelf from the package index that pip is set up with: exactly the locked versions, by their hashes."""

import dataclasses
import fcntl
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_sdist_filename, parse_wheel_filename

from wayside_server.errors import ConfigError, TransientError
from wayside_server.identity.home import write_whole
from wayside_server.packages.own_wheel import PROJECT, make_wheel
from wayside_server.packages.pins import Pin, locked, render
from wayside_server.packages.shelf import Manifest, PackageFile, Shelf, sha256_of
from wayside_server.packages.targets import Target

OPTIONAL = ("lgpio", "spidev")
"""Loaded only for GPIO of a Raspberry Pi and for SPI. spidev has no wheels and lgpio none for every Python: a board
builds them when it has the hardware and a compiler, and measures all else when it cannot."""
EXTRAS = ("compute",)

Progress = Callable[[int, int, str], None]
"""Told before each step: how many are done, of how many, and what comes now."""

_NOT_THERE = "No matching distribution found"
_BROKEN = ("Retrying (", "Could not fetch URL")
"""What pip mentions before it says that an index which it did not reach has nothing."""


def fetch(shelf: Shelf, targets: Sequence[Target], extras: Sequence[str], progress: Progress) -> Manifest:
    """Fills `shelf` with the running version and all that it needs on `targets`; returns what is there now.

    What boards are offered does not change before everything has come.

    Raises:
        ConfigError: a locked package has no file for a target, or the folder cannot be written.
        TransientError: the index cannot be reached, or did not send all.
    """
    try:
        shelf.files.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(shelf.path):
            return _Fetching(shelf, targets, extras, progress).run()
    except OSError as error:
        raise ConfigError(f"cannot write {shelf.path}: {error.strerror or error}") from error


def add(shelf: Shelf, wheel: Path) -> Manifest:
    """Puts a wheel of an optional package, built elsewhere, beside the others.

    Raises:
        ConfigError: it is no wheel, or not of the locked version of an optional package.
    """
    manifest = shelf.filled()
    try:
        content = wheel.read_bytes()
        name, version, _, _ = parse_wheel_filename(wheel.name)
    except InvalidWheelFilename as error:
        raise ConfigError(f"{wheel} is not a wheel by its name; build it with: pip wheel --no-deps …") from error
    except FileNotFoundError as error:
        raise ConfigError(f"{wheel}: there is no such file; build one with: pip wheel --no-deps …") from error
    except OSError as error:
        raise ConfigError(f"cannot read {wheel}: {error.strerror}") from error
    known = {pin.project: pin.version for pin in locked("edge") if pin.project in OPTIONAL}
    if known.get(str(name)) != str(version):
        wanted = " or ".join(f"{project} {locked_version}" for project, locked_version in known.items())
        raise ConfigError(f"{wheel.name}: only a wheel of {wanted} can be added")
    with _alone(shelf.path):
        write_whole(shelf.files / wheel.name, content)
        file = described(shelf.files / wheel.name, own=True)
        files = [*(f for f in manifest.files if f.name != file.name), file]
        return publish(shelf, dataclasses.replace(manifest, files=tuple(sorted(files, key=lambda f: f.name))))


class _Fetching:
    def __init__(self, shelf: Shelf, targets: Sequence[Target], extras: Sequence[str], progress: Progress) -> None:
        self._shelf = shelf
        self._targets = targets
        self._extras = tuple(extras)
        self._progress = progress
        self._done = 0
        self._total = len(targets) * (1 + len(extras) + len(OPTIONAL)) + 3

    def run(self) -> Manifest:
        self._step("pip")
        (installer,) = locked("installer")
        missing = self._download([installer], ["--only-binary", ":all:"])
        if missing is not None:
            raise ConfigError(f"{missing}: pip's index is none; look at: {sys.executable} -m pip config list")
        sets = [locked(name) for name in ("edge", *self._extras)]
        for pins in sets:
            self._required([pin for pin in pins if pin.project not in OPTIONAL])
        optional = [pin for pin in sets[0] if pin.project in OPTIONAL]
        lacking = [(pin, target) for pin in optional for target in self._targets if not self._wheel(pin, target)]
        self._sources(lacking)
        self._step(f"{PROJECT} itself")
        own = make_wheel(self._shelf.files)
        files = self._files([installer, *(pin for pins in sets for pin in pins)], own)
        for pins in sets:
            self._refuse_incomplete([pin for pin in pins if pin.project not in OPTIONAL], files)
        manifest = Manifest(
            version=own.name.split("-")[1],
            pip=next(file.name for file in files if file.project == "pip"),
            extras=self._extras,
            targets=tuple(str(target) for target in self._targets),
            optional=OPTIONAL,
            lacking=tuple(
                f"{pin.project} {target}"
                for pin, target in lacking
                if not any(file.project == pin.project and target.takes(file.name) for file in files)
            ),
            files=tuple(files),
        )
        return publish(self._shelf, manifest)

    def _step(self, what: str) -> None:
        self._progress(self._done, self._total, what)
        self._done += 1

    def _required(self, pins: list[Pin]) -> None:
        for target in self._targets:
            self._step(f"{len(pins)} packages for {target}")
            wanted = [pin for pin in pins if pin.holds_in(target.environment)]
            missing = self._download(wanted, _binary_for(target))
            if missing is not None:
                raise ConfigError(
                    f"no file for {target}: {missing}; leave this kind of board out with --platform and --python"
                )

    def _refuse_incomplete(self, pins: list[Pin], files: list[PackageFile]) -> None:
        """What pip took for a target must be what is known to run there, or a board would find it missing."""
        for target in self._targets:
            names = [file.name for file in files if target.takes(file.name)]
            there = {parse_wheel_filename(name)[0] for name in names}
            missing = [pin.project for pin in pins if pin.holds_in(target.environment) and pin.project not in there]
            if missing:
                raise ConfigError(f"no file for {target} came of {', '.join(missing)}; report it as a bug")

    def _wheel(self, pin: Pin, target: Target) -> bool:
        self._step(f"{pin.project} for {target}")
        return self._download([pin], _binary_for(target)) is None

    def _sources(self, lacking: list[tuple[Pin, Target]]) -> None:
        """Fetches the source of what has no wheel, and builds it for boards like this machine, when it can."""
        self._step("sources")
        here = Target(platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}")
        for pin in {pin for pin, _ in lacking}:
            missing = self._download([pin], ["--no-binary", ":all:"])
            if missing is not None:
                raise ConfigError(f"neither a wheel nor the source of {pin.project} is there: {missing}")
        for pin, target in lacking:
            if target == here and not any(
                _project(path) == pin.project and target.takes(path.name) for path in self._shelf.files.iterdir()
            ):
                # Without a compiler there is none: the manifest says so, and boards try for themselves.
                _pip("wheel", [pin], ["--no-deps", "-w", str(self._shelf.files)])

    def _download(self, pins: list[Pin], options: list[str]) -> str | None:
        """None, or what the index does not have."""
        ended = _pip("download", pins, ["--no-deps", *options, "-d", str(self._shelf.files)])
        if ended.returncode == 0:
            return None
        errors = [line for line in ended.stderr.splitlines() if line.startswith("ERROR:")] or ["pip said nothing"]
        last = errors[-1].removeprefix("ERROR: ")
        said = [*ended.stdout.splitlines(), *ended.stderr.splitlines()]
        broken = next((line for line in said if any(sign in line for sign in _BROKEN)), None)
        if broken is None and _NOT_THERE in last:
            return last
        reason = (broken or last).removeprefix("WARNING: ")[:300]
        raise TransientError(f"pip could not fetch: {reason}; check the network and pip's index, then run this again")

    def _files(self, pins: list[Pin], own: Path) -> list[PackageFile]:
        """What is wanted of all that lies in the folder."""
        hashes = {pin.project: set[str]() for pin in pins}
        for pin in pins:
            hashes[pin.project].update(pin.hashes)
        versions = {(pin.project, pin.version) for pin in pins}
        previous = self._shelf.manifest()
        kept = {file.name: file.sha256 for file in (previous.files if previous else ()) if file.own}
        files = []
        for path in sorted(self._shelf.files.iterdir()):
            project = _project(path)
            if project is None or not (path.suffix == ".gz" or any(t.takes(path.name) for t in self._targets)):
                continue
            digest = sha256_of(path)
            if path == own or digest in hashes.get(project, ()):
                files.append(described(path, own=path == own))
            elif (
                (project, _version(path)) in versions and project in OPTIONAL and kept.get(path.name, digest) == digest
            ):
                files.append(described(path, own=True))
        return files


def publish(shelf: Shelf, manifest: Manifest) -> Manifest:
    """Makes `manifest` what boards are offered from now on, with the requirements files that belong to it.

    Raises:
        ConfigError: the folder cannot be written.
    """
    texts = {}
    optional = [pin for pin in locked("edge") if pin.project in OPTIONAL]
    (own,) = (file for file in manifest.files if file.project == PROJECT)
    agent = Pin(PROJECT, manifest.version, None, (own.sha256,))
    for name in ("edge", *manifest.extras):
        texts[f"{name}.txt"] = render([agent, *(pin for pin in locked(name) if pin.project not in OPTIONAL)])
    for pin in optional:
        made = tuple(file.sha256 for file in manifest.files if file.project == pin.project and file.own)
        texts[f"{pin.project}.txt"] = render([dataclasses.replace(pin, hashes=(*pin.hashes, *made))])
    shelf.publish(manifest, texts)
    return manifest


def described(path: Path, *, own: bool) -> PackageFile:
    """A file in the folder as the manifest has it; the metadata of a wheel is written beside it.

    Raises:
        ConfigError: it is no whole wheel, or the folder cannot be written.
    """
    metadata = None
    if path.suffix == ".whl":
        content = _metadata(path)
        write_whole(path.with_name(f"{path.name}.metadata"), content)
        metadata = hashlib.sha256(content).hexdigest()
    project = _project(path)
    assert project is not None, "only wheels and source archives are described"
    return PackageFile(path.name, project, sha256_of(path), path.stat().st_size, metadata, own)


def _metadata(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1)
            return archive.read(name)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise ConfigError(f"{wheel} is no whole wheel; remove it, then run this again") from error


def _binary_for(target: Target) -> list[str]:
    tag = target.python.replace(".", "")
    options = ["--only-binary", ":all:", "--python-version", target.python, "--implementation", "cp"]
    options += [part for abi in (f"cp{tag}", "abi3", "none") for part in ("--abi", abi)]
    return options + [part for name in target.platforms for part in ("--platform", name)]


def _pip(command: str, pins: list[Pin], options: list[str]) -> subprocess.CompletedProcess[str]:
    # Markers are this machine's, not the target's, to pip; they have been looked at already.
    plain = [dataclasses.replace(pin, marker=None) for pin in pins]
    with tempfile.TemporaryDirectory(prefix="wayside-packages-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(render(plain))
        always = [
            "--no-input",
            "--disable-pip-version-check",
            "--require-hashes",
            "--progress-bar=off",
            "-r",
            str(requirements),
        ]
        words = [sys.executable, "-m", "pip", command, *always, *options]
        # With PYPI=1 lgpio builds its C library in, as its wheels do, and needs none of the board's system.
        environment = {**os.environ, "PYPI": "1"}
        ended = subprocess.run(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    if "No module named pip" in ended.stderr:
        raise ConfigError(f"this environment has no pip to fetch with; type: {sys.executable} -m ensurepip")
    return ended


def _project(path: Path) -> str | None:
    try:
        name = parse_wheel_filename(path.name)[0] if path.suffix == ".whl" else parse_sdist_filename(path.name)[0]
    except ValueError:
        return None
    return str(canonicalize_name(name))


def _version(path: Path) -> str:
    return str(parse_wheel_filename(path.name)[1] if path.suffix == ".whl" else parse_sdist_filename(path.name)[1])


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: two would remove each other's files."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{folder} is being filled by another command; wait for it to end") from error
        yield
