"""Names of devices and groups: which are taken, and how the server makes some up."""

import re
import secrets

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import RESERVED_PREFIX
from wayside_shared.identifiers import DEVICE_ID_RULE, is_device_id

GROUP_PATTERN = r"^[a-z0-9][a-z0-9-]{1,62}$"
GROUP_RULE = "a name has 2 to 63 of a-z, 0-9 and -, and begins with a letter or digit"
PREFIX_PATTERN = r"^[a-z0-9][a-z0-9-]{0,56}-$"
"""Room for six digits behind it."""
PREFIX_RULE = "it has up to 57 of a-z, 0-9 and -, and begins with a letter or digit"

_GROUP = re.compile(GROUP_PATTERN.removesuffix("$") + r"\Z")
_PREFIX = re.compile(PREFIX_PATTERN.removesuffix("$") + r"\Z")
_NAME_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_NAME_LETTERS = 10
"""32^10 names: with 100,000 devices the chance that the next one collides is 1 in 10^10, and then another is made."""


def check_device_name(name: str) -> str:
    """`name` itself.

    Raises:
        ConfigError: it breaks the rules for device names, or is one of the server's own.
    """
    if not is_device_id(name):
        raise ConfigError(f"device name {name[:80]!r}: {DEVICE_ID_RULE}")
    _refuse_reserved(name)
    return name


def check_prefix(prefix: str) -> str:
    """`prefix`, with the hyphen at its end that is added when missing.

    Raises:
        ConfigError: no device name can begin with it.
    """
    whole = prefix if prefix.endswith("-") else f"{prefix}-"
    if _PREFIX.match(whole) is None:
        raise ConfigError(f"prefix {prefix[:80]!r}: {PREFIX_RULE}")
    _refuse_reserved(whole)
    return whole


def check_group_name(name: str) -> str:
    """`name` itself.

    Raises:
        ConfigError: it breaks the rules for names of groups.
    """
    if _GROUP.match(name) is None:
        raise ConfigError(f"group {name[:80]!r}: {GROUP_RULE}")
    return name


def make_device_name() -> str:
    """A fresh name such as `device-k3v9x2m4qa`, without letters that are easily misread."""
    return "device-" + "".join(secrets.choice(_NAME_ALPHABET) for _ in range(_NAME_LETTERS))


def _refuse_reserved(name: str) -> None:
    if name.startswith(RESERVED_PREFIX):
        raise ConfigError(f"device name {name!r}: names that start with {RESERVED_PREFIX!r} are the server's own")
