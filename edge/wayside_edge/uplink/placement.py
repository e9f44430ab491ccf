"""Writing `[uplink]` and the like into a configuration file that people also edit: only their own keys are touched."""

import json
import re
import tomllib
from collections.abc import Mapping

from wayside_edge.errors import ConfigError
from wayside_edge.uplink.settings import UplinkSettings

_ANY_HEADER = re.compile(r"^\s*\[")


def place_uplink(text: str, uplink: UplinkSettings, source: str) -> str:
    """`text` with the connection and identity of `uplink` in its `[uplink]`; see `place_table`."""
    values: dict[str, str | int] = {
        "host": uplink.host,
        "port": uplink.port,
        "device": uplink.device,
        "ca_file": str(uplink.ca_file),
        "cert_file": str(uplink.cert_file),
        "key_file": str(uplink.key_file),
    }
    return place_table(text, "uplink", values, source)


def place_table(text: str, name: str, values: Mapping[str, str | int], source: str) -> str:
    """`text` with `values` in its table `name`; all else, comments too, stays as it is.

    Args:
        text: a TOML file.
        name: of the table, made at the end when there is none.
        values: what its keys are to be; its other keys stay.
        source: the file's name, for messages.

    Raises:
        ConfigError: the file is not TOML, or its table has a form that cannot be edited by line.
    """
    before = _parsed(text, source)
    lines = text.splitlines()
    header = re.compile(rf"^\s*\[\s*{name}\s*\]\s*(#.*)?$")
    start = next((number for number, line in enumerate(lines) if header.match(line)), None)
    if start is None:
        placed = [*lines, *([""] if lines else []), f"[{name}]", *_filled([], values)]
    else:
        end = next((n for n in range(start + 1, len(lines)) if _ANY_HEADER.match(lines[n])), len(lines))
        placed = [*lines[: start + 1], *_filled(lines[start + 1 : end], values), *lines[end:]]
    result = "\n".join(placed) + "\n"
    table = before.get(name, {})
    wanted = before | {name: (table if isinstance(table, dict) else {}) | dict(values)}
    try:
        same = tomllib.loads(result) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ConfigError(f"cannot edit [{name}] here: write it as a section of its own, one key a line", source=source)
    return result


def _filled(section: list[str], values: Mapping[str, str | int]) -> list[str]:
    """`section` with `values`, each where its key stands, or stands commented out, and so under its own comment; those
    without a place come first."""
    homeless: list[str] = []
    filled = list(section)
    for key, value in values.items():
        # JSON's texts and numbers are TOML's too.
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        places = [n for n, old in enumerate(filled) if re.match(rf"\s*{key}\s*=", old)]
        places = places or [n for n, old in enumerate(filled) if _is_commented(key, old)]
        if places:
            filled[places[0]] = line
        else:
            homeless.append(line)
    return [*homeless, *filled]


def _is_commented(key: str, line: str) -> bool:
    """Whether `line` is an assignment to `key` as a comment, and not a sentence that looks like one."""
    assignment = line.strip().removeprefix("#")
    try:
        return line.strip().startswith("#") and tomllib.loads(assignment).keys() == {key}
    except tomllib.TOMLDecodeError:
        return False


def _parsed(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", source=source) from error
