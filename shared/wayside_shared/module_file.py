"""What a file of WebAssembly says of itself, read without an engine: its imports and exports, and how large it is.

Compiling is neither metered nor interruptible, so what a module is refused for should be known before. Source:
WebAssembly Core Specification 2.0, chapter 5. Files come from anywhere: reading takes time in proportion to their size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NoReturn

from wayside_shared.errors import RejectedError
from wayside_shared.module_abi import Import, type_text
from wayside_shared.rejects import RejectCode

PREAMBLE: Final = b"\0asm\1\0\0\0"
MAX_FUNCTIONS: Final = 20_000
"""A module of the largest size that a compiler gives has half of it."""
MAX_LOCALS: Final = 200_000
"""Of all functions together. A compiler's function has ten; a few bytes can declare 50,000."""
MAX_BODY_BYTES: Final = 128 * 1024
"""The largest function. What it takes to compile one grows faster than its size."""

KINDS: Final = ("function", "table", "memory", "global")
VALUES: Final = {
    0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref",
}  # fmt: skip
FUNCTION_TYPE: Final = 0x60


class Section(IntEnum):
    """The sections that are read; the others are of no concern here, and those after `LAST` of no version that is."""

    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    EXPORT = 7
    CODE = 10
    LAST = 12


@dataclass(slots=True)
class ModuleFile:
    """A module as its file describes it.

    Args:
        imports: what it asks its host for.
        exports: the types of what it exports, by name, as in `Import.type`.
        functions: how many it defines.
        locals: variables of all of them together.
        body_bytes: size of the largest.
    """

    imports: list[Import] = field(default_factory=list)
    exports: dict[str, str] = field(default_factory=dict)
    functions: int = 0
    locals: int = 0
    body_bytes: int = 0


def describe_module(data: bytes) -> ModuleFile:
    """What the module in `data` says of itself.

    Raises:
        RejectedError: it is no module, of another version, or larger than can be compiled; nothing else, whatever the
            bytes.
    """
    if data[: len(PREAMBLE)] != PREAMBLE:
        _refuse("it does not begin as a module of WebAssembly 1 does")
    made = ModuleFile()
    types: list[str] = []
    functions: list[str] = []
    for section, part in _sections(_Reader(data, len(PREAMBLE), len(data))):
        match section:
            case Section.TYPE:
                types += [part.function_type() for _ in range(part.count())]
            case Section.IMPORT:
                made.imports = [part.import_of(types) for _ in range(part.count())]
                functions += [each.type for each in made.imports if each.type not in KINDS]
            case Section.FUNCTION:
                functions += [part.of(types) for _ in range(part.count())]
            case Section.EXPORT:
                made.exports = dict(part.export_of(functions) for _ in range(part.count()))
            case Section.CODE:
                _measure(part, made)
    return made


def _sections(reader: "_Reader") -> Iterator[tuple[int, "_Reader"]]:
    while not reader.ended:
        section, size = reader.byte(), reader.number()
        if section > Section.LAST:
            _refuse(f"it has a section {section}, which the interface does not have")
        yield section, reader.part(size)


def _measure(part: "_Reader", made: ModuleFile) -> None:
    made.functions = part.count()
    if made.functions > MAX_FUNCTIONS:
        _too_large(f"it has {made.functions} functions, at most {MAX_FUNCTIONS}")
    for _ in range(made.functions):
        size = part.number()
        made.body_bytes = max(made.body_bytes, size)
        if size > MAX_BODY_BYTES:
            _too_large(f"a function of it has {size} bytes, at most {MAX_BODY_BYTES}; build it with less inlining")
        body = part.part(size)
        for _ in range(body.count()):
            made.locals += body.number()
            body.byte()
        if made.locals > MAX_LOCALS:
            _too_large(f"its functions have more than {MAX_LOCALS} variables")


class _Reader:
    """Reads on from `at` and never beyond `end`."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    @property
    def ended(self) -> bool:
        return self._at >= self._end

    def byte(self) -> int:
        if self.ended:
            _refuse("it ends too early")
        self._at += 1
        return self._data[self._at - 1]

    def number(self) -> int:
        """An unsigned number, in LEB128."""
        found = shift = 0
        while True:
            byte = self.byte()
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7
            if shift > 63:
                _refuse("a number of it has no end")

    def count(self) -> int:
        """How many follow, each of at least a byte."""
        found = self.number()
        if found > self._end - self._at:
            _refuse("it ends too early")
        return found

    def part(self, size: int) -> "_Reader":
        """The next `size` bytes."""
        if size > self._end - self._at:
            _refuse("it ends too early")
        self._at += size
        return _Reader(self._data, self._at - size, self._at)

    def text(self) -> str:
        size = self.count()
        self._at += size
        return self._data[self._at - size : self._at].decode(errors="replace")

    def value_type(self) -> str:
        found = VALUES.get(self.byte())
        if found is None:
            _refuse("it uses types that the interface does not have")
        return found

    def function_type(self) -> str:
        if self.byte() != FUNCTION_TYPE:
            _refuse("it uses types that the interface does not have")
        given = [self.value_type() for _ in range(self.count())]
        return type_text(given, [self.value_type() for _ in range(self.count())])

    def of(self, types: Sequence[str]) -> str:
        place = self.number()
        if place >= len(types):
            _refuse("it names a type or a function that it does not have")
        return types[place]

    def limits(self) -> None:
        flags = self.number()
        self.number()
        if flags & 1:
            self.number()

    def import_of(self, types: Sequence[str]) -> Import:
        module, name, kind = self.text(), self.text(), self.kind()
        match kind:
            case "function":
                return Import(module, name, self.of(types))
            case "table":
                self.value_type()
                self.limits()
            case "memory":
                self.limits()
            case "global":
                self.value_type()
                self.byte()
        return Import(module, name, kind)

    def export_of(self, functions: Sequence[str]) -> tuple[str, str]:
        name, kind = self.text(), self.kind()
        if kind == "function":
            return name, self.of(functions)
        self.number()
        return name, kind

    def kind(self) -> str:
        found = self.byte()
        if found >= len(KINDS):
            _refuse("it imports or exports what the interface does not have")
        return KINDS[found]


def _refuse(why: str) -> NoReturn:
    raise RejectedError(RejectCode.MALFORMED, why)


def _too_large(why: str) -> NoReturn:
    raise RejectedError(RejectCode.TOO_LARGE, why)
