"""What the doctor says."""

import grp
import os
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Not there, or not known, and nothing needs it."""
    WARNING = "warning"
    """It works, but not for long or not well."""
    PROBLEM = "problem"
    """Something that the configuration asks for cannot work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Args:
        area: where: `i2c`, `power`, `broker`, …
        level: how bad it is.
        what: what was found.
        fix: what to do about it, in one line; empty when nothing is to be done.
    """

    area: str
    level: Level
    what: str
    fix: str = ""


def ok(area: str, what: str) -> Finding:
    """Something that is as it should be."""
    return Finding(area, Level.OK, what)


def note(area: str, what: str) -> Finding:
    """Something that nothing needs, and that is good to know."""
    return Finding(area, Level.NOTE, what)


def warning(area: str, what: str, fix: str) -> Finding:
    """Something that will not go well for long."""
    return Finding(area, Level.WARNING, what, fix)


def problem(area: str, what: str, fix: str) -> Finding:
    """Something that cannot work."""
    return Finding(area, Level.PROBLEM, what, fix)


@dataclass(frozen=True, slots=True)
class User:
    """Who would open device nodes.

    Args:
        uid: the user.
        gids: the user's groups.
    """

    uid: int
    gids: frozenset[int]

    def may_use(self, node: Path) -> bool:
        """Whether this user may read and write `node`, by its mode (path_resolution(7))."""
        found = node.stat()
        if self.uid == 0:
            return True
        if found.st_uid == self.uid:
            wanted = stat.S_IRUSR | stat.S_IWUSR
        elif found.st_gid in self.gids:
            wanted = stat.S_IRGRP | stat.S_IWGRP
        else:
            wanted = stat.S_IROTH | stat.S_IWOTH
        return found.st_mode & wanted == wanted


def group_of(node: Path) -> str:
    """The name of the group that owns `node`."""
    gid = node.stat().st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_name() -> str:
    """A name for this user in commands to type."""
    return os.environ.get("USER") or str(os.geteuid())
