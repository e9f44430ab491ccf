"""Writing `[uplink]` into a configuration file that people also edit: only its own keys are touched."""

import json
import re
import tomllib

from wayside_edge.errors import ConfigError
from wayside_edge.uplink.settings import UplinkSettings

_HEADER = re.compile(r"^\s*\[\s*uplink\s*\]\s*(#.*)?$")
_ANY_HEADER = re.compile(r"^\s*\[")


def place_uplink(text: str, uplink: UplinkSettings, source: str) -> str:
    """`text` with the connection and identity of `uplink` in its `[uplink]`; all else, comments too, stays as it is.

    Args:
        text: a TOML file.
        uplink: its host, port, device and files are written.
        source: the file's name, for messages.

    Raises:
        ConfigError: the file is not TOML, or its `[uplink]` has a form that cannot be edited by line.
    """
    values = {
        "host": uplink.host,
        "port": uplink.port,
        "device": uplink.device,
        "ca_file": str(uplink.ca_file),
        "cert_file": str(uplink.cert_file),
        "key_file": str(uplink.key_file),
    }
    before = _parsed(text, source)
    # JSON's texts and numbers are TOML's too.
    own = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if _HEADER.match(line)), None)
    if start is None:
        placed = [*lines, *([""] if lines else []), "[uplink]", *own]
    else:
        end = next((n for n in range(start + 1, len(lines)) if _ANY_HEADER.match(lines[n])), len(lines))
        assigned = re.compile(rf"\s*({'|'.join(values)})\s*=")
        kept = [line for line in lines[start + 1 : end] if not assigned.match(line)]
        placed = [*lines[: start + 1], *own, *kept, *lines[end:]]
    result = "\n".join(placed) + "\n"
    table = before.get("uplink", {})
    wanted = before | {"uplink": (table if isinstance(table, dict) else {}) | values}
    try:
        same = tomllib.loads(result) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ConfigError("cannot edit [uplink] here: write it as a section of its own, one key a line", source=source)
    return result


def _parsed(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", source=source) from error
