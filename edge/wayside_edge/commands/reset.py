"""`wayside-edge reset`: take this device out of service, with nothing left on it that another could use."""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wayside_edge import config
from wayside_edge.config import AgentSettings, UnenrolledSettings
from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.store import FOLDER
from wayside_edge.identity.wiping import wipe_file, wipe_folder

_BESIDE_OUTBOX: Final = (
    "ballast", "damaged*", "fresh", "mended", "rolled", "run", "run.*", "salvaged", "salvaging*", "sock", "stacks",
)  # fmt: skip
"""Endings of what the agent lays beside its outbox."""
_HONEST: Final = """\
What was overwritten may still be in the memory cells: SD cards, eMMC and SSDs write to other cells than those that
held the old bytes, and keep them until they need them. Where that matters, destroy the card, or keep keys in a token
and the disk encrypted from the start. A file with an enrolment token that was kept is not known here: remove it, for it
may be good for more devices. The server still trusts the certificate until it is revoked there:
  wayside-server device revoke {device}"""


def run(options: argparse.Namespace) -> int:
    """Ask, wipe, and say what could not be wiped; returns 0 when all that there was is gone.

    Args:
        options: the command line.

    Raises:
        ConfigError: nobody can be asked, or the configuration cannot be read.
        TransientError: the agent runs, or something could not be wiped; the message names it.
    """
    settings = config.load_as_far_as_enrolled(options.config)
    device = settings.uplink.device if isinstance(settings, AgentSettings) else "this device"
    with _alone(settings.outbox.path):
        _ask(device, yes=options.yes)
        _forget_token_key(settings)
        left = list(_wipe(settings, options.config if options.all else None))
    _remove(settings.outbox.path.with_suffix(".lock"))
    if left:
        raise TransientError(f"not wiped: {'; '.join(left)}; type the same again as the user that these belong to")
    kept = "" if options.all else f"; {options.config} is kept, --all wipes it too"
    print(f"key, certificates, samples, logs and states of {device} are wiped{kept}")
    print(_HONEST.format(device=device))
    return 0


@contextmanager
def _alone(outbox: Path) -> Iterator[None]:
    """Hold the lock of the outbox, which an agent that runs has."""
    lock = outbox.with_suffix(".lock")
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield  # there is no folder, so nobody has an outbox in it
        return
    except OSError as error:
        raise TransientError(f"cannot use {lock}: {error.strerror}; type: sudo -u wayside wayside-edge …") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TransientError(
            f"the agent runs with {outbox}; end it first: sudo systemctl stop wayside-edge, or where systemd did not"
            " start it, kill the process that wayside-edge status names"
        ) from error
    finally:
        os.close(handle)


def _ask(device: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here; add --yes to wipe this device without a question")
    print(f"This wipes the key, the certificates and every sample of {device} that the server does not have.")
    try:
        typed = input(f"Type {device} to go on: ").strip()
    except EOFError:
        typed = ""
    if typed != device:
        raise ConfigError("that is not its name; nothing was wiped")


def _forget_token_key(settings: AgentSettings | UnenrolledSettings) -> None:
    token = settings.identity.token()
    if token is not None:
        from wayside_edge.identity.token_key import TokenKey  # a library that only boards with a token have

        TokenKey(token).remove()


def _wipe(settings: AgentSettings | UnenrolledSettings, configuration: Path | None) -> Iterator[str]:
    """Wipe everything, the key first; yields what could not be, each with its reason."""
    for path in _places(settings):
        yield from _wiped(path)
    if configuration is not None:
        yield from _wiped(configuration)
        if settings.identity.pin_file is not None:
            yield from _wiped(settings.identity.pin_file)


def _places(settings: AgentSettings | UnenrolledSettings) -> Iterator[Path]:
    if isinstance(settings, AgentSettings):
        uplink = settings.uplink
        folder = uplink.cert_file.parent
        yield from (folder / FOLDER, folder / "enrolling", uplink.key_file, uplink.cert_file, uplink.ca_file)
    outbox = settings.outbox.path
    yield from (outbox, outbox.with_name(f"{outbox.name}-wal"), outbox.with_name(f"{outbox.name}-shm"))
    for ending in _BESIDE_OUTBOX:
        yield from outbox.parent.glob(f"{outbox.stem}.{ending}")
    yield outbox.parent / "stages"
    if settings.log.file is not None:
        yield from settings.log.file.parent.glob(f"{settings.log.file.name}*")


def _wiped(path: Path) -> Iterator[str]:
    try:
        if path.is_dir() and not path.is_symlink():
            wipe_folder(path)
        else:
            wipe_file(path)
    except OSError as error:
        yield f"{path} ({error.strerror})"


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
