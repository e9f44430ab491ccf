"""Whether the private key is kept from other users of this machine."""

import stat
from pathlib import Path

from wayside_edge.errors import ConfigError


def refuse_readable(path: Path, what: str = "private key") -> None:
    """Refuse a secret that others than its owner can read or change; one that is not there is for others to tell.

    Args:
        path: the file.
        what: what it holds, for the message.

    Raises:
        ConfigError: they can; names the command that mends it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        raise ConfigError(
            f"the {what} {path} is open to other users of this machine (mode {mode:04o}); type: chmod 600 {path}"
        )
