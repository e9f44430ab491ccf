"""`wayside-server audit verify`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from wayside_server import app
from wayside_server.app.audit import verify as go_through
from wayside_server.commands.storage import with_storage
from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home


def add_audit(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Adds the command to `commands`."""
    parts = commands.add_parser("audit", help="the audit log").add_subparsers(required=True)
    verify = parts.add_parser("verify", parents=[shared], help="check that no entry was changed, moved or removed")
    verify.add_argument(
        "--heads", type=Path, action="append", default=[], metavar="FILE", help="heads that were kept elsewhere"
    )
    verify.add_argument("--public-key", type=Path, metavar="FILE", help="whose signature they bear (audit/public.pem)")
    verify.set_defaults(command=_verify_audit)


def _verify_audit(options: argparse.Namespace) -> None:
    async def verify(storage: app.Storage, _: ServerSettings) -> None:
        verdict = await go_through(Home(options.home), storage, options.heads, options.public_key, _progress)
        print("\n".join(verdict.lines()))
        if verdict.faults:
            sys.exit(1)

    with_storage(options, verify)


def _progress(done: int, of: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == of else ""
        print(f"\r{done:,} of {of:,} ({100 * done // max(of, 1)} %)", end=end, file=sys.stderr, flush=True)
