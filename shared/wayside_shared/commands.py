"""What every command line of Wayside has."""

import argparse
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

from wayside_shared import VERSION

EXIT_PIPE = 141
"""As of a program that SIGPIPE ends: what a shell expects of a command before `| head`."""


def with_version(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """`parser` with `--version`."""
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}", help="print the version and end")
    return parser


def while_read(command: Callable[[], int]) -> int:
    """Runs `command` and returns its exit status, or `EXIT_PIPE` without a word when nobody reads its output any more.

    The signal itself stays ignored: it would also end a command whose peer hangs up, with its work half done.
    """
    # A program that is started without them has none.
    streams: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    try:
        try:
            return command()
        finally:
            # At the interpreter's end it would fail where nobody can catch it.
            if streams[0] is not None:
                streams[0].flush()
    except (BrokenPipeError, BaseExceptionGroup) as error:
        unread = [stream for stream in streams if stream is not None and _unread(stream)]
        if not unread or not _broken(error):
            raise
        for stream in unread:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return EXIT_PIPE


def _broken(error: BaseException) -> bool:
    """Whether it is nothing but broken pipes."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(BrokenPipeError)[1] is None
    return isinstance(error, BrokenPipeError)


def _unread(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
