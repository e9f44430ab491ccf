"""`wayside-edge new-driver`: a package of its own with a driver that works, to be turned into that of another chip."""

import argparse
import keyword
import re
from pathlib import Path
from string import Template
from typing import Final

from wayside_edge import registry
from wayside_edge.errors import ConfigError

TEMPLATE: Final = Path(__file__).parent / "template"
SUFFIX: Final = ".tmpl"
"""Of the files there: they are no modules of the agent."""
NAME: Final = re.compile(r"[a-z][a-z0-9]{1,30}")
"""A kind of sensor, which is also part of a package's name."""


def run(options: argparse.Namespace) -> int:
    """Write the package.

    Args:
        options: the command line.

    Raises:
        ConfigError: the name or the folder is taken, or cannot be one.
    """
    name: str = options.name
    folder: Path = options.dir or Path(f"wayside-{name}")
    _check(name, folder)
    names = {"name": name, "package": f"wayside_{name}", "distribution": f"wayside-{name}", "cls": name.capitalize()}
    for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
        place = source.relative_to(TEMPLATE)
        target = folder / Path(*(names.get(part, part) for part in place.parts)).with_suffix("")
        _write(target, Template(source.read_text(encoding="utf-8")).substitute(names))
        print(target)
    print(f"\ntry it: pip install -e {folder} && python -m pytest {folder}\nthen begin with {folder / 'README.md'}")
    return 0


def _check(name: str, folder: Path) -> None:
    if NAME.fullmatch(name) is None or keyword.iskeyword(name):
        what = "a kind is 2 to 31 small letters and digits and begins with a letter, such as bme280"
        raise ConfigError(f"{name!r} cannot be a kind of sensor: {what}", source="new-driver")
    if name in registry.kinds():
        raise ConfigError(f"there is a driver of the kind {name!r}; choose another name", source="new-driver")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already; choose another with --dir", source="new-driver")


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {target}: {error.strerror}; choose another folder with --dir") from error
