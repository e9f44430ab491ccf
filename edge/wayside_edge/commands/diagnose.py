"""`wayside-edge diagnose`: what tells what is wrong with a board, in one file, without secrets."""

import argparse
import errno
import glob
import io
import json
import os
import platform
import socket
import stat
import subprocess
import sys
import tarfile
import time
import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from wayside_edge import config
from wayside_edge.commands import doctor
from wayside_edge.commands.doctor.finding import User
from wayside_edge.commands.running import ask
from wayside_edge.config import AgentSettings, UnenrolledSettings
from wayside_edge.errors import ConfigError, OutboxError, TransientError
from wayside_edge.hal.clock import SystemClock
from wayside_edge.health.redaction import redact, secrets_in
from wayside_edge.outbox.account import peek

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of each text the end is taken: the whole fits into a mail."""
PROGRAM_S: Final = 15.0
PROGRAMS: Final = (
    (
        "journal.txt",
        ("journalctl", "--unit", "wayside-edge", "--lines", "20000", "--no-pager", "--output", "short-iso"),
    ),
    ("kernel.txt", ("dmesg", "--time-format", "iso")),
    ("disks.txt", ("df", "--human-readable", "--print-type")),
    ("addresses.txt", ("ip", "address")),
    ("routes.txt", ("ip", "route")),
    ("time.txt", ("timedatectl", "show")),
    (
        "service.txt",
        ("systemctl", "show", "wayside-edge", "--property", "ActiveState,SubState,NRestarts,ExecMainStatus"),
    ),
    ("processes.txt", ("ps", "-eo", "pid,ppid,user,rss,pcpu,etime,stat,comm")),
)
"""What is asked of this machine: none of it changes anything, and command lines of others are left out of it."""
ABOUT: Final = """Gathered by wayside-edge diagnose.

Private keys, passwords, tokens and values of settings that are named like one are replaced by [hidden]. Names of
devices, hosts, addresses and sensors are in here: look through it before it leaves your hands.
"""


@dataclass(frozen=True, slots=True)
class _Board:
    """What is known before anything is gathered."""

    file: Path
    settings: AgentSettings | UnenrolledSettings | None
    trouble: str
    root: Path


def run(options: argparse.Namespace, root: Path = Path("/")) -> int:
    """Gather and write; returns 0, also when some of it cannot be had: the file says what and why.

    Args:
        options: the command line.
        root: where this machine's files are.

    Raises:
        TransientError: the file cannot be written.
    """
    settings, trouble = None, ""
    try:
        settings = config.load_as_far_as_enrolled(options.config)
    except ConfigError as error:
        trouble = str(error)
    board = _Board(options.config, settings, trouble, root)
    path = options.output or Path(f"wayside-{socket.gethostname()}-{time.strftime('%Y%m%d-%H%M%S')}.tar.gz")
    known = _secrets(board)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, text in _everything(board):
                _add(archive, f"wayside-diagnose/{name}", redact(text, known))
    except OSError as error:
        raise TransientError(f"cannot write {path}: {error.strerror}; name another with -o") from error
    print(f"{path}: {path.stat().st_size:,} bytes; look through it before you pass it on")
    return 0


def _everything(board: _Board) -> Iterator[tuple[str, str]]:
    """Each file's name and text, with a line for whoever waits."""
    yield "ABOUT.txt", ABOUT
    parts: list[tuple[str, Callable[[], str]]] = [
        ("configuration.toml", lambda: board.file.read_text(encoding="utf-8", errors="replace")),
        ("status.json", partial(_status, board)),
        ("versions.json", _versions),
        ("os-release.txt", (board.root / "etc/os-release").read_text),
        ("findings.json", partial(_findings, board)),
        *((f"log/{file.name}", partial(_tail, file)) for file in _log_files(board)),
    ]
    parts += [(name, partial(_output, words)) for name, words in PROGRAMS]
    for number, (name, text) in enumerate(parts, start=1):
        print(f"[{number}/{len(parts)}] {name}", file=sys.stderr, flush=True)
        try:
            yield name, text()
        except OSError as error:
            yield f"{name}.missing", f"{error.strerror or error}\n"


def _status(board: _Board) -> str:
    """What the agent says, or what its outbox holds when none runs."""
    if board.settings is None:
        return json.dumps({"configuration": board.trouble})
    outbox = board.settings.outbox.path
    try:
        return json.dumps(ask(board.settings.health, outbox, {"ask": "status"}, board.file), indent=2)
    except TransientError as error:
        told: dict[str, Any] = {"agent": str(error)}
    try:
        told["outbox"] = asdict(peek(outbox, SystemClock(board.settings.clock)))
    except OutboxError as error:
        told["outbox"] = str(error)
    return json.dumps(told, indent=2)


def _versions() -> str:
    found = {each.name: each.version for each in distributions()}
    about = {"python": sys.version, "machine": platform.machine(), "kernel": platform.release()}
    return json.dumps({**about, "packages": dict(sorted(found.items()))}, indent=2)


def _findings(board: _Board) -> str:
    """The doctor's, who looks at buses, supply, clock, disk and the way to the broker, and disturbs none of them."""
    user = User(os.geteuid(), frozenset((os.getegid(), *os.getgroups())))
    found = doctor.examine(board.file, board.root, user)
    return json.dumps([{**asdict(each), "level": each.level.value} for each in found], indent=2)


def _log_files(board: _Board) -> Sequence[Path]:
    file = None if board.settings is None else board.settings.log.file
    if file is None:
        return []
    aside = [each for each in file.parent.glob(f"{glob.escape(file.name)}.*") if each.suffix[1:].isdigit()]
    return [file, *sorted(aside)]


def _tail(file: Path) -> str:
    """The end of a log file. The folder is the agent's, so what it has there may be another's file under a name of its
    own, or nothing that ends."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != file.parent.stat().st_uid:
            raise PermissionError(errno.EPERM, "no file of the folder's owner")
        opened.seek(max(found.st_size - MAX_BYTES, 0))
        return opened.read(MAX_BYTES).decode(errors="replace")


def _output(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(words, capture_output=True, timeout=PROGRAM_S, stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return f"{words[0]} did not end within {PROGRAM_S:g} s\n"
    said = done.stdout[-MAX_BYTES:] + (done.stderr[-10_000:] if done.returncode else b"")
    return said.decode(errors="replace")


def _secrets(board: _Board) -> Collection[str]:
    with suppress(OSError, ValueError, RecursionError):
        return secrets_in(tomllib.loads(board.file.read_text(encoding="utf-8")))
    return ()


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode(errors="replace")
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
    archive.addfile(entry, io.BytesIO(data))
