"""`wayside-edge enroll`: what a person types, and what they see."""

import argparse
import sys
from pathlib import Path

from wayside_edge.enrol import Waiting, enrol
from wayside_edge.errors import ConfigError
from wayside_edge.identity.settings import TokenSettings
from wayside_edge.identity.wiping import wipe_file


def run(options: argparse.Namespace) -> int:
    """Enrol and say so; returns 0. The file that the token was in is wiped then, unless it is to be kept.

    Args:
        options: the command line.

    Raises:
        ConfigError, TransientError: as `enrol`.
    """
    device = enrol(
        options.url,
        _token(options.token, options.token_file),
        options.config,
        options.directory,
        waiting=Waiting(options.timeout, lambda line: print(line, flush=True)),
        key=_key(options),
    )
    print(f"enrolled as {device}; start measuring: wayside-edge run --config {options.config}")
    if options.token_file is not None:
        _put_away(options.token_file, keep=options.keep_token_file)
    return 0


def _token(text: str | None, file: Path | None) -> str | None:
    if text == "-" and file is None:
        file = Path("-")
    elif file is None:
        return text
    elif text is not None:
        raise ConfigError("give the token or --token-file, not both")
    try:
        return sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the token in {file}: {error}") from error


def _put_away(file: Path, *, keep: bool) -> None:
    """Wipes the token's file, or says why it still lies there: the device has its certificate either way."""
    if str(file) == "-" or not file.is_file():  # the input, or a pipe
        return
    reason = "--keep-token-file"
    if file.is_symlink():
        reason = "a link"
    elif not keep:
        try:
            wipe_file(file)
        except OSError as error:
            reason = str(error.strerror)
        else:
            print(f"{file} is wiped")
            return
    print(
        f"the token still lies in {file} ({reason}); as long as it has uses left, whoever reads it can enrol a device",
        file=sys.stderr,
    )


def _key(options: argparse.Namespace) -> TokenSettings | None:
    if options.key is None:
        return None
    if options.pin_file is None or options.pkcs11_module is None:
        raise ConfigError("--key needs --pin-file and --pkcs11-module beside it")
    return TokenSettings(options.key, options.pin_file.absolute(), options.pkcs11_module)
