"""Where the keys of a TOML text stand, for errors that name the line; `tomllib` does not tell."""

import re

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')\s*[.=]")


def line_numbers(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of each table header and each key that starts a line, by its place in the document."""
    lines: dict[tuple[str | int, ...], int] = {}
    counts: dict[tuple[str | int, ...], int] = {}
    path: tuple[str | int, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = None if header else _KEY.match(line)
        if header is not None:
            path = _resolve([part.strip("\"' ") for part in header[2].split(".")], counts, is_list=header[1] == "[[")
            lines.setdefault(path, number)
        elif key is not None:
            lines.setdefault((*path, key[1].strip("\"'")), number)
    return lines


def _resolve(parts: list[str], counts: dict[tuple[str | int, ...], int], *, is_list: bool) -> tuple[str | int, ...]:
    """The place that a header names: a part that is an array of tables stands for its latest element."""
    path: tuple[str | int, ...] = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if is_list and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
