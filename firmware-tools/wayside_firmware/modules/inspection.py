"""What a module is, without running it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, FuncType, MemoryType, Module, WasmtimeError

from wayside_shared.errors import ConfigError
from wayside_shared.module_abi import ABI_VERSION, MAX_MODULE_BYTES, Import, faults, type_text

BINARY: Final = b"\0asm"
PAGE_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a file.

    Args:
        sha256: of the file, as the agent's configuration pins it.
        size: in bytes.
        exports: name and type each.
        imports: what it asks its host for.
        memory_bytes: what it begins with; None without a memory that it shows.
        faults: what of the interface it breaks; empty when it conforms.
    """

    sha256: str
    size: int
    exports: Sequence[tuple[str, str]]
    imports: Sequence[Import]
    memory_bytes: int | None
    faults: Sequence[str]

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"sha256   {self.sha256}"
        yield f"size     {self.size:,} bytes (at most {MAX_MODULE_BYTES:,})"
        if self.memory_bytes is not None:
            yield f"memory   {self.memory_bytes:,} bytes to begin with"
        yield from (f"export   {name}: {type_}" for name, type_ in self.exports)
        yield from (f"import   {each.module}.{each.name}: {each.type}" for each in self.imports)
        yield from (f"FAULT    {fault}" for fault in self.faults)
        if not self.faults:
            yield f"It conforms to version {ABI_VERSION} of the interface."


def check_begin(file: Path, data: bytes) -> None:
    """Refuse what cannot be a module, by its first bytes: a parser of modules says little of a table or a picture.

    Raises:
        ConfigError: it begins neither as the binary form does, nor with a bracket or comment of the text form.
    """
    if not data.startswith(BINARY) and not data.lstrip().startswith((b"(module", b"(;", b";;")):
        raise ConfigError(f"{file} is no WebAssembly file: it begins neither as the binary nor as the text form does")


def inspect(file: Path) -> Inspection:
    """Look at the module in `file`.

    Raises:
        ConfigError: it cannot be read, or is no module.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    check_begin(file, data)
    config = Config()
    config.wasm_memory64 = False
    try:
        module = Module(Engine(config), data)
    except WasmtimeError as error:
        raise ConfigError(f"{file} is no module: {' '.join(str(error).split())[:300]}") from error
    exports = [(each.name, _type(each.type)) for each in module.exports]
    imports = [Import(each.module, each.name or "", _type(each.type)) for each in module.imports]
    memories = [each.type.limits.min * PAGE_BYTES for each in module.exports if isinstance(each.type, MemoryType)]
    found = list(faults(dict(exports), imports))
    if len(data) > MAX_MODULE_BYTES:
        found.append(f"it has {len(data):,} bytes; at most {MAX_MODULE_BYTES:,}")
    digest = hashlib.sha256(data).hexdigest()
    return Inspection(digest, len(data), exports, imports, memories[0] if memories else None, found)


def _type(found: object) -> str:
    if isinstance(found, FuncType):
        return type_text([str(each) for each in found.params], [str(each) for each in found.results])
    return type(found).__name__.removesuffix("Type").lower()
