"""Settings as dataclasses: read from TOML with the line of every mistake, written out as a commented sample.

A settings class is a frozen dataclass whose fields are made with `setting()`. Field types may be str, int, float,
bool, a Path, an Enum of texts, `X | None`, `list[str]`, another settings class, `list[settings class]`, or
`Table`, which is taken as it stands for a part that reads it later. A class whose tables hold keys of another part
besides its own has a `remainder()`: a sensor's own keys and its driver's stand in one table.
"""

import dataclasses
import difflib
import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from wayside_shared.errors import ConfigError
from wayside_shared.toml_lines import line_numbers

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """A TOML table that a part reads later with `from_table`; it remembers where it stood.

    Args:
        values: the table as tomllib gives it.
        path: its place in the file, as `("sensor", 0)`.
        lines: line numbers by place, for messages.
        source: the file's name.
    """

    values: Mapping[str, Any]
    # Where it stood is no part of what it says: a file that got a comment more says the same.
    path: tuple[str | int, ...] = dataclasses.field(default=(), compare=False)
    lines: Mapping[tuple[str | int, ...], int] = dataclasses.field(default_factory=dict, compare=False)
    source: str | None = dataclasses.field(default=None, compare=False)

    def error(self, message: str, key: str | None = None) -> ConfigError:
        """A ConfigError about `key`, or about the table itself, that names file and line."""
        place = self.path if key is None else (*self.path, key)
        while place and place not in self.lines:  # what stands within a line has that of the table around it
            place = place[:-1]
        return ConfigError(message, source=self.source, line=self.lines.get(place))


def setting(
    doc: str,
    default: Any = dataclasses.MISSING,
    *,
    factory: Callable[[], Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    pattern: str | None = None,
    choices: Sequence[Any] | None = None,
    sample: Any = None,
    hexadecimal: bool = False,
) -> Any:
    """A field of a settings class.

    Args:
        doc: one sentence for the sample file and the reference page, with the unit.
        default: its value when the file has none; without one the key is required.
        factory: makes the default, for lists and nested settings.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        pattern: regular expression that a text must match as a whole.
        choices: the only values allowed.
        sample: value to show in the sample file when it differs from the default.
        hexadecimal: show the number as 0x76, as the field writes it.
    """
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "maximum": maximum,
        "pattern": pattern,
        "choices": choices,
        "sample": sample,
        "hexadecimal": hexadecimal,
    }
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata, kw_only=True)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


def remainder(doc: str) -> Any:
    """A field of type `Table` that takes every key the class does not name, for the part that reads it later."""
    return dataclasses.field(default_factory=lambda: Table({}), metadata={"doc": doc, "remainder": True}, kw_only=True)


def whereabouts() -> Any:
    """A field of type `Table` that takes the table itself, for what is found wrong with it later."""
    metadata = {"doc": "", "remainder": False}
    return dataclasses.field(default_factory=lambda: Table({}), metadata=metadata, kw_only=True, compare=False)


def from_toml(cls: type[T], text: str, source: str) -> T:
    """The settings `cls` in the TOML `text`.

    Args:
        cls: a settings class.
        text: the file's content.
        source: its name, for messages.

    Raises:
        ConfigError: it is not TOML, or a key is unknown, missing, of the wrong type or out of bounds; one line that
            names file, line and fix.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), )?(.*)\)", str(error))  # ends (at end of document) in places
        what = f"at {found[3]}: {found[1]}" if found else str(error)
        line = int(found[2]) if found and found[2] else None
        raise ConfigError(f"not TOML {what}", source=source, line=line) from error
    except (RecursionError, ValueError) as error:  # brackets in brackets without end, a number of thousands of digits
        raise ConfigError(f"not TOML that anybody wrote: {error}", source=source) from error
    return from_table(cls, Table(values, (), line_numbers(text), source))


def from_table(cls: type[T], table: Table) -> T:
    """The settings `cls` in one table.

    Raises:
        ConfigError: as `from_toml`.
    """
    hints = typing.get_type_hints(cls)
    every = dataclasses.fields(cls)  # type: ignore[arg-type]
    fields = {field.name: field for field in every if "remainder" not in field.metadata}
    foreign = {key: value for key, value in table.values.items() if key not in fields}
    values: dict[str, Any] = {}
    for rest in (field for field in every if field.name not in fields):
        if rest.metadata["remainder"]:
            values[rest.name] = Table(foreign, table.path, table.lines, table.source)
            foreign = {}
        else:
            values[rest.name] = table
    for key in foreign:
        raise table.error(f"unknown key {key!r}{suggestion(key, list(fields))}", key)
    for name, field in fields.items():
        if name in table.values:
            values[name] = _convert(table, name, hints[name], table.values[name], field.metadata)
        elif _is_required(field):
            raise table.error(f"{name!r} is missing: {field.metadata['doc']}")
    try:
        return cls(**values)
    except ValueError as error:
        raise table.error(str(error)) from error


def to_sample(cls: type[Any], heading: str = "", *, path: str = "", leave_out: Collection[str] = ()) -> str:
    """A TOML file that shows every setting of `cls` with its meaning; optional keys are commented out.

    Args:
        cls: a settings class.
        heading: a comment to stand first.
        path: the dotted name of the table that the keys belong to.
        leave_out: names of fields that the caller shows in its own way.
    """
    lines = [f"# {line}" for line in heading.splitlines()]
    nested: list[str] = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in leave_out:
            continue
        inner = _settings_class(hints[field.name])
        if inner is not None:
            place = f"{path}.{field.name}" if path else field.name
            head = _header(place, hints[field.name])
            nested.append(f"\n# {field.metadata['doc']}\n{head}\n{to_sample(inner, path=place)}".rstrip())
        elif "remainder" not in field.metadata:
            lines.extend(_sample_lines(field, hints[field.name]))
    return "\n".join([*lines, *nested]).strip() + "\n"


def to_example(cls: type[Any], *, path: str = "", given: Collection[str] = ()) -> str:
    """The keys of `cls` that have no default, each with its example; empty when there are none.

    Args:
        cls: a settings class.
        path: the dotted name of the table that the keys belong to.
        given: names of fields that the caller writes.
    """
    lines: list[str] = []
    nested: list[str] = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if field.name in given or not _is_required(field):
            continue
        inner = _settings_class(hints[field.name])
        if inner is None:
            lines.append(f"{field.name} = {_toml(field.metadata['sample'])}\n")
        else:
            head = _header(f"{path}.{field.name}" if path else field.name, hints[field.name])
            nested.append(f"\n{head}\n{to_example(inner, path=path)}")
    return "".join([*lines, *nested])


def describe(cls: type[Any], *, path: str = "") -> list[tuple[str, str, str, str]]:
    """Every setting of `cls` as `(name, type, default, meaning)`, nested ones by their dotted name."""
    rows: list[tuple[str, str, str, str]] = []
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if "remainder" in field.metadata:
            continue
        name = f"{path}.{field.name}" if path else field.name
        inner = _settings_class(hints[field.name])
        if inner is not None:
            rows.extend(describe(inner, path=name))
            continue
        default = "required" if field.default is dataclasses.MISSING else _shown(field.default, field.metadata)
        if field.default_factory is not dataclasses.MISSING:
            default = _toml(field.default_factory())
        limits = _limits(field.metadata)
        kind = _type_name(hints[field.name]) + (f": {limits}" if limits else "")
        rows.append((name, kind, default, field.metadata["doc"]))
    return rows


def _limits(metadata: Mapping[str, Any]) -> str:
    """The values that a setting may have, in words; empty when its type says it all."""
    low, high = (_shown(metadata[name], metadata) for name in ("minimum", "maximum"))
    if metadata["choices"] is not None:
        return ", ".join(_shown(choice, metadata) for choice in metadata["choices"])
    if metadata["minimum"] is not None and metadata["maximum"] is not None:
        return f"{low} to {high}"
    ends = (("at least", "minimum", low), ("at most", "maximum", high))
    return "".join(f"{words} {end}" for words, name, end in ends if metadata[name] is not None)


def _shown(value: Any, metadata: Mapping[str, Any]) -> str:
    """`value` as TOML, in the way that the field writes such numbers."""
    return f"0x{value:02x}" if metadata["hexadecimal"] and type(value) is int and value >= 0 else _toml(value)


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _header(place: str, hint: Any) -> str:
    return f"[[{place}]]" if typing.get_origin(hint) is list else f"[{place}]"


def _sample_lines(field: "dataclasses.Field[Any]", hint: Any) -> list[str]:
    value = field.metadata["sample"]
    if value is None and field.default is not dataclasses.MISSING:
        value = field.default
    elif value is None and field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    shown = "" if value is None else f" {_shown(value, field.metadata)}"
    is_enum = isinstance(hint, type) and issubclass(hint, Enum)
    allowed = _type_name(hint) if is_enum else _limits(field.metadata)
    told = [f"# {field.metadata['doc']}", *([f"# Allowed: {allowed}."] if allowed else [])]
    mark = "" if _is_required(field) else "# "
    return [*told, f"{mark}{field.name} ={shown}"]


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return _toml(value.value)
        case str() | Path():
            return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
        case Table():
            return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.values.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(_toml(item) for item in value) + "]"
        case None:
            return "none"
        case _:
            return str(value)


def _type_name(hint: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " or ".join(_toml(member.value) for member in hint)
    options = [_type_name(option) for option in typing.get_args(hint) if option is not type(None)]
    if typing.get_origin(hint) is list:
        return f"list of {options[0]}"
    names = {
        "str": "text",
        "int": "integer",
        "float": "number",
        "bool": "true or false",
        "Path": "path",
        "Table": "table",
    }
    return options[0] if options else names.get(hint.__name__, hint.__name__)


def _settings_class(hint: Any) -> type[Any] | None:
    candidates = (hint, *typing.get_args(hint))
    return next((c for c in candidates if dataclasses.is_dataclass(c) and isinstance(c, type) and c is not Table), None)


def _convert(table: Table, key: str, hint: Any, value: Any, metadata: Mapping[str, Any]) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
        return _convert(table, key, hint, value, metadata)
    if origin is list:
        return _convert_list(table, key, typing.get_args(hint)[0], value, metadata)
    inner = _settings_class(hint)
    if inner is not None or hint is Table:
        if type(value) is not dict:
            raise table.error(f"{key!r} must be a table: [{key}]", key)
        child = Table(value, (*table.path, key), table.lines, table.source)
        return child if inner is None else from_table(inner, child)
    return _convert_scalar(table, key, hint, value, metadata)


def _convert_list(table: Table, key: str, item_hint: Any, value: Any, metadata: Mapping[str, Any]) -> Any:
    if type(value) is not list:
        wanted = f"tables: [[{key}]]" if _settings_class(item_hint) or item_hint is Table else "a list"
        raise table.error(f"{key!r} must be {wanted}", key)
    inner = _settings_class(item_hint)
    if inner is None and item_hint is not Table:
        return [_convert_scalar(table, key, item_hint, item, metadata) for item in value]
    if any(type(item) is not dict for item in value):
        raise table.error(f"{key!r} must be tables: [[{key}]]", key)
    children = [Table(item, (*table.path, key, i), table.lines, table.source) for i, item in enumerate(value)]
    return children if inner is None else [from_table(inner, child) for child in children]


def _convert_scalar(table: Table, key: str, hint: Any, value: Any, metadata: Mapping[str, Any]) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        choices = [str(member.value) for member in hint]
        if value not in choices:
            one_of = ", ".join(map(_toml, choices))
            raise table.error(f"{key} = {_toml(value)}: must be one of {one_of}{_meant(value, choices)}", key)
        return hint(value)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < 1 << 1023 else math.inf
    wanted = str if hint is Path else hint
    if type(value) is not wanted:
        raise table.error(f"{key} = {value!r}: must be {_type_name(hint)}", key)
    _check_limits(table, key, value, metadata)
    return Path(value) if hint is Path else value


def _check_limits(table: Table, key: str, value: Any, metadata: Mapping[str, Any]) -> None:
    low, high, pattern, choices = (metadata[name] for name in ("minimum", "maximum", "pattern", "choices"))
    if choices is not None and value not in choices:
        said = f"{key} = {_shown(value, metadata)}: must be one of {_limits(metadata)}"
        raise table.error(said + _meant(_shown(value, metadata), [_shown(c, metadata) for c in choices]), key)
    if type(value) is float and not isfinite(value):
        raise table.error(f"{key} = {value}: must be a finite number", key)
    if (low is not None and value < low) or (high is not None and value > high):
        ends = [
            (word, _shown(end, metadata)) for word, end in (("at least", low), ("at most", high)) if end is not None
        ]
        bounds = " and ".join(f"{word} {end}" for word, end in ends)
        raise table.error(f"{key} = {_shown(value, metadata)}: must be {bounds}", key)
    if pattern is not None and re.fullmatch(pattern, value) is None:
        raise table.error(f"{key} = {value!r}: must match {pattern}", key)


def suggestion(word: object, known: Sequence[str]) -> str:
    """The end of a message about an unknown `word`: the name that was meant, or every one there is."""
    return _meant(word, known) or f"; known here: {', '.join(sorted(known))}"


def _meant(word: object, known: Sequence[Any]) -> str:
    """The end of a message that has named all that is `known`: the one that was meant, if any is close."""
    close = difflib.get_close_matches(str(word), [str(one) for one in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
