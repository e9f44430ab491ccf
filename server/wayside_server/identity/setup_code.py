"""The code by which the first person claims an installation. It lies in a file that only the installation's account
reads, so it can be shown again, and counts for nothing once there is anybody."""

import base64
import secrets
from contextlib import suppress

from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home, make_folder, read_whole, write_whole

_CODE_BYTES = 15
"""120 bits, and 24 letters of base32 without a rest."""
_GROUP = 6


def ensure_setup_code(home: Home) -> str:
    """The code of the installation; made when there is none.

    Raises:
        ConfigError: it cannot be read or written.
    """
    make_folder(home.setup_code.parent)
    if not home.setup_code.exists():
        text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode()
        grouped = "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))
        write_whole(home.setup_code, grouped.encode(), mode=0o600)
    return read_whole(home.setup_code).decode("utf-8", "replace").strip()


def find_setup_code(home: Home) -> str | None:
    """The code of the installation; None when there is none."""
    with suppress(ConfigError):
        return read_whole(home.setup_code).decode("utf-8", "replace").strip() or None
    return None


def forget_setup_code(home: Home) -> None:
    """Removes it. Where that fails it stays and opens nothing, for there is somebody by then."""
    with suppress(OSError):
        home.setup_code.unlink(missing_ok=True)


def plain_code(text: str) -> bytes:
    """A code as it is compared: case, spaces and hyphens do not count."""
    return "".join(text.split()).replace("-", "").upper().encode("utf-8", "surrogatepass")
