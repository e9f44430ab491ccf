"""Named SQL statements: each `-- name: x` line in `sql/<file>.sql` opens one."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_FOLDER = Path(__file__).parent / "sql"
_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


def load_statements(file: str) -> Mapping[str, str]:
    """The statements of `sql/<file>.sql` by their names.

    Raises:
        ValueError: text stands before the first name, or a name is given twice.
    """
    return parse_statements((_FOLDER / f"{file}.sql").read_text(encoding="utf-8"))


def parse_statements(text: str) -> Mapping[str, str]:
    """The statements in `text` by their names; comment lines above the first name are allowed.

    Raises:
        ValueError: text stands before the first name, or a name is given twice.
    """
    preamble, *parts = _NAME.split(text)
    if any(line and not line.startswith("--") for line in preamble.splitlines()):
        raise ValueError("SQL before the first '-- name:' line belongs to no statement")
    statements: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in statements:
            raise ValueError(f"statement {name!r} is given twice")
        statements[name] = body.strip().removesuffix(";")
    return MappingProxyType(statements)
