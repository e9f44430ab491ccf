"""One instance of a module, and its host: what it hands over is checked, what it may use is bounded."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from wasmtime import (
    Caller,
    Engine,
    Func,
    FuncType,
    Linker,
    Memory,
    MemoryType,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
)

from wayside_edge.compute.serving import StageError
from wayside_shared.module_abi import (
    ALLOC,
    EVENT,
    IMPORT_MODULE,
    LEVELS,
    LOG,
    MEMORY,
    RESET,
    Function,
)
from wayside_shared.stage_worker import MAX_EVENTS, MAX_LINE_BYTES, Failure, Limits

T = TypeVar("T")

PAGE_BYTES: Final = 65536
TABLE_ELEMENTS: Final = 10_000
"""Functions that are called through pointers; a Rust module with its library has a few hundred."""
KEPT_CODES: Final = {TrapCode.OUT_OF_FUEL: Failure.FUEL, TrapCode.INTERRUPT: Failure.DEADLINE}
LEVEL_OTHER: Final = 20
UNSIGNED: Final = 0xFFFFFFFF


class Said:
    """What a module says while it answers one message, up to the limits."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.log: list[tuple[int, str]] = []
        self.left_out = 0

    @property
    def last_error(self) -> str:
        """The last line at level 40, in brackets; empty when there is none."""
        return next((f" ({line})" for level, line in reversed(self.log) if level >= max(LEVELS)), "")


def check_memory(module: Module, limits: Limits) -> None:
    """See that a module begins with no more memory than it may have.

    Raises:
        StageError: it wants more; MEMORY.
    """
    for each in module.exports:
        if isinstance(each.type, MemoryType):
            begins = each.type.limits.min * PAGE_BYTES
            if begins > limits.memory_bytes:
                raise StageError(Failure.MEMORY, f"it begins with {begins} bytes; it may have {limits.memory_bytes}")


class Guest:
    """An instance with a store of its own. Not used again after an error.

    Args:
        engine: what it runs on.
        module: checked.
        limits: what each message may use.
        ticks: the deadline in epochs of the engine.
    """

    def __init__(self, engine: Engine, module: Module, limits: Limits, ticks: int) -> None:
        self.said = Said()
        self.used_s = 0.0
        self._limits = limits
        self._ticks = ticks
        self._store = Store(engine)
        self._store.set_limits(
            memory_size=limits.memory_bytes, table_elements=TABLE_ELEMENTS, instances=1, tables=4, memories=1
        )
        self.begin()
        linker = Linker(engine)
        self._define(linker)
        instance = self._guarded("while it started", lambda: linker.instantiate(self._store, module))
        exports = instance.exports(self._store)
        memory = exports[MEMORY]
        assert isinstance(memory, Memory)
        self._memory = memory
        self._functions = {name: each for name, each in exports.items() if isinstance(each, Func)}

    def begin(self) -> None:
        """Give it all that it may use for one message, and a clean sheet."""
        self.said = Said()
        self.used_s = 0.0
        self._store.set_fuel(self._limits.fuel)
        self._store.set_epoch_deadline(self._ticks)

    @property
    def fuel(self) -> int:
        """What it used since `begin`."""
        return self._limits.fuel - self._store.get_fuel()

    def has(self, function: Function) -> bool:
        """Whether it exports it."""
        return function.name in self._functions

    def call(self, function: Function, *arguments: int) -> int:
        """What the function returned; 0 when it returns nothing.

        Raises:
            StageError: it did not return.
        """
        callee = self._functions[function.name]
        result = self._guarded(f"in {function.name}", lambda: callee(self._store, *arguments))
        return result if isinstance(result, int) else 0

    def hand_over(self, function: Function, data: bytes) -> int:
        """Call the function with `data` in the module's memory.

        Raises:
            StageError: it has no room for them, or did not return.
        """
        pointer = self.call(ALLOC, len(data)) & UNSIGNED
        if pointer == 0:
            raise StageError(Failure.MEMORY, f"it has no room for {len(data)} bytes ({self._size()})")
        if pointer % 8:
            raise StageError(Failure.ABI, f"{ALLOC.name} returned {pointer}, which is no multiple of 8")
        if pointer + len(data) > self._memory.data_len(self._store):
            raise StageError(Failure.TRAP, f"{ALLOC.name} returned a place outside its memory ({self._size()})")
        self._memory.write(self._store, data, pointer)
        return self.call(function, pointer, len(data))

    def take(self, pointer: int, size: int, most: int) -> bytes:
        """`size` bytes that it points at.

        Raises:
            StageError: they are more than `most`, or lie outside its memory.
        """
        if size > most:
            raise StageError(Failure.OUTPUT, f"it gave {size} bytes; at most {most}")
        # The library would give what is there of them without a word.
        if pointer + size > self._memory.data_len(self._store):
            raise StageError(Failure.OUTPUT, f"it gave {size} bytes at {pointer}: outside its memory ({self._size()})")
        return bytes(self._memory.read(self._store, pointer, pointer + size))

    def release(self) -> None:
        """Let it use its memory anew, if it wants to know."""
        if self.has(RESET):
            self.call(RESET)

    def _size(self) -> str:
        return f"{self._memory.data_len(self._store)} bytes, at most {self._limits.memory_bytes}"

    def _guarded(self, where: str, run: Callable[[], T]) -> T:
        began_s = time.perf_counter()
        try:
            return run()
        except Trap as trap:
            code = trap.trap_code
            failure = KEPT_CODES.get(code, Failure.TRAP) if code is not None else Failure.TRAP
            why = "" if failure is not Failure.TRAP or code is None else f"{code.name.lower().replace('_', ' ')} "
            raise StageError(failure, f"{why}{where}{self.said.last_error}") from trap
        except WasmtimeError as error:
            raise StageError(Failure.ABI, f"{where}: {' '.join(str(error).split())[:300]}") from error
        finally:
            self.used_s += time.perf_counter() - began_s

    def _define(self, linker: Linker) -> None:
        number = ValType.i32()
        linker.define_func(IMPORT_MODULE, LOG.name, FuncType([number] * 3, []), self._log, access_caller=True)
        linker.define_func(IMPORT_MODULE, EVENT.name, FuncType([number] * 2, []), self._event, access_caller=True)

    def _log(self, caller: Caller, level: int, pointer: int, size: int) -> None:
        if len(self.said.log) >= MAX_EVENTS:
            self.said.left_out += 1
        else:
            line = _line(caller, pointer, size, LOG)
            self.said.log.append((level if level in LEVELS else LEVEL_OTHER, line))

    def _event(self, caller: Caller, pointer: int, size: int) -> None:
        if len(self.said.events) >= MAX_EVENTS:
            self.said.left_out += 1
        else:
            self.said.events.append(_line(caller, pointer, size, EVENT))


def _line(caller: Caller, pointer: int, size: int, function: Function) -> str:
    """A line for a person: of signs that can be printed, cut at the limit, which an ellipsis shows."""
    pointer, size = pointer & UNSIGNED, size & UNSIGNED
    memory = caller.get(MEMORY)
    assert isinstance(memory, Memory)
    if pointer + size > memory.data_len(caller):
        raise StageError(Failure.TRAP, f"it called {function.name} with {size} bytes at {pointer}: outside its memory")
    text = bytes(memory.read(caller, pointer, pointer + min(size, MAX_LINE_BYTES))).decode(errors="replace")
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    if size <= MAX_LINE_BYTES and len(text.encode()) <= MAX_LINE_BYTES:
        return text
    return text.encode()[: MAX_LINE_BYTES - 3].decode(errors="ignore") + "…"
