"""A folder with the source of a module: made from a template, and told apart by its file."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wayside_shared.errors import ConfigError

HERE: Final = Path(__file__).parent
PRELUDE: Final = HERE / "prelude"
TEMPLATE: Final = HERE / "template"
NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Language:
    """A language that modules are written in.

    Args:
        name: as on the command line.
        source: the file by which a folder is known.
        prelude: what else the template brings, from `PRELUDE`.
    """

    name: str
    source: str
    prelude: Sequence[str] = ()


LANGUAGES: Final[Mapping[str, Language]] = {
    each.name: each
    for each in (
        Language("c", "module.c", ("wayside.h", "wayside_math.h")),
        Language("rust", "module.rs"),
        Language("assemblyscript", "module.ts"),
        Language("wat", "module.wat"),
    )
}


def write_project(name: str, language: str, folder: Path) -> Sequence[Path]:
    """Make `folder` with a module that multiplies what it is given; the files written.

    Raises:
        ConfigError: the name cannot be one, or the folder is there.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError(f"{name!r} cannot name a module: small letters, digits, _ and -, a letter first")
    sources = [*sorted((TEMPLATE / language).iterdir()), *(PRELUDE / each for each in LANGUAGES[language].prelude)]
    try:
        folder.mkdir(parents=True)
        return [Path(shutil.copyfile(source, folder / source.name)) for source in sources if source.is_file()]
    except FileExistsError as error:
        raise ConfigError(f"{folder} is there already; choose another with --dir") from error
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from error


def language_of(folder: Path) -> Language:
    """The language of the module in `folder`.

    Raises:
        ConfigError: it has none, or several.
    """
    found = [each for each in LANGUAGES.values() if (folder / each.source).is_file()]
    if len(found) != 1:
        sources = ", ".join(each.source for each in LANGUAGES.values())
        raise ConfigError(f"{folder} must have one of {sources}; wayside-fw module new writes one")
    return found[0]
