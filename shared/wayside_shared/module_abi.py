"""The interface between a module (core WebAssembly, no WASI) and its host, version 1.

A pointer is an offset into the module's memory, below 2 GiB. What a module returns as `i64` for a place is
`pointer << 32 | bytes`. Texts are UTF-8 without an end sign.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

ABI_VERSION: Final = 1
MEMORY: Final = "memory"
IMPORT_MODULE: Final = "wayside"
MAX_MODULE_BYTES: Final = 2 * 1024 * 1024
"""Largest file of a module. Its compiler's time and memory have bounds of their own, and grow with it."""
HOST_SETTINGS: Final = "wayside."
"""How the names of the settings begin that come from the host and not from a person."""


class Function(NamedTuple):
    """A function of the interface.

    Args:
        name: as exported or imported.
        type: its type in the form `(i32, i32) -> i64`.
        meaning: what it does, for the reference page.
    """

    name: str
    type: str
    meaning: str


ABI: Final = Function(
    "wayside_abi", "() -> i32", f"The version of this interface that it is written for: {ABI_VERSION}."
)
ALLOC: Final = Function(
    "wayside_alloc",
    "(i32) -> i32",
    "Room for so many bytes, at a multiple of 8; 0 when there is none. The host writes what it hands over there.",
)
PROCESS: Final = Function(
    "wayside_process",
    "(i32, i32) -> i64",
    "Pointer and bytes of a block. Returns the place of a block, 0 for nothing, or a negative number: it refuses.",
)
CONFIGURE: Final = Function(
    "wayside_configure",
    "(i32, i32) -> i32",
    "Pointer and bytes of its settings, a line `key=value` each. Called once, first of all; not 0: it refuses them.",
)
SAVE: Final = Function(
    "wayside_save",
    "() -> i64",
    "The place of what to keep for another instance of the same module, 0 for nothing. Called after each block.",
)
RESTORE: Final = Function(
    "wayside_restore",
    "(i32, i32) -> i32",
    "Pointer and bytes of what was kept. Called after `wayside_configure`, when there is any; not 0: it refuses it.",
)
RESET: Final = Function(
    "wayside_reset",
    "() -> ()",
    "The host has copied what it was given: all that was allocated since the last reset may be used anew.",
)
REQUIRED: Final = (ABI, ALLOC, PROCESS)
OPTIONAL: Final = (CONFIGURE, SAVE, RESTORE, RESET)

LOG: Final = Function(
    "log",
    "(i32, i32, i32) -> ()",
    "Level (10 debug, 20 info, 30 warning, 40 error), pointer and bytes of a line for the agent's log.",
)
EVENT: Final = Function("event", "(i32, i32) -> ()", "Pointer and bytes of a text: something happened.")
IMPORTS: Final = (LOG, EVENT)
LEVELS: Final = (10, 20, 30, 40)
"""Any other number counts as 20."""


class Import(NamedTuple):
    """What a module asks its host for.

    Args:
        module: the first of its two names.
        name: the second.
        type: as in `Function`, or `memory`, `table`, `global`.
    """

    module: str
    name: str
    type: str


def type_text(parameters: Sequence[str], results: Sequence[str]) -> str:
    """The type of a function in the form of `Function.type`, from the names of its value types."""
    given = results[0] if len(results) == 1 else f"({', '.join(results)})"
    return f"({', '.join(parameters)}) -> {given}"


def faults(exports: Mapping[str, str], imports: Sequence[Import]) -> Iterator[str]:
    """What of the interface a module breaks, each in one line; nothing when it conforms.

    Args:
        exports: the types of what it exports, by name, as in `Import.type`.
        imports: what it asks for.
    """
    if exports.get(MEMORY) != "memory":
        yield f"it does not export its memory as {MEMORY!r}"
    for function in (*REQUIRED, *OPTIONAL):
        found = exports.get(function.name)
        if found is None and function in REQUIRED:
            yield f"it does not export {function.name}{function.type}"
        elif found is not None and found != function.type:
            yield f"its {function.name} is {found}, not {function.type}"
    known = {(IMPORT_MODULE, function.name): function.type for function in IMPORTS}
    for wanted in imports:
        type_ = known.get((wanted.module, wanted.name))
        if type_ is None:
            yield f"it imports {wanted.module}.{wanted.name}, which the interface does not have"
        elif wanted.type != type_:
            yield f"it imports {wanted.module}.{wanted.name} as {wanted.type}, not {type_}"


def place(result: int) -> tuple[int, int]:
    """Pointer and bytes of what a module returned as `i64`, not negative."""
    return result >> 32, result & 0xFFFFFFFF


def settings_text(settings: Mapping[str, str | int | float | bool]) -> bytes:
    """The settings as a module gets them: sorted lines `key=value`, truth as `true` and `false`.

    Raises:
        ValueError: a key or a value cannot be written so; the message says which and why.
    """
    lines = []
    for key in sorted(settings):
        if not key or set(key) & set("=\n\r\0"):
            message = f"setting {key!r}: a name has no '=' and no line break"
            raise ValueError(message)
        lines.append(f"{key}={_value(key, settings[key])}\n")
    return "".join(lines).encode()


def _value(key: str, value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        message = f"setting {key!r} is {value}: it must be a finite number"
        raise ValueError(message)
    # A guest that reads 0.000001 may not read 1e-06.
    text = format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
    if set(text) & set("\n\r\0"):
        message = f"setting {key!r} has a line break"
        raise ValueError(message)
    return text
