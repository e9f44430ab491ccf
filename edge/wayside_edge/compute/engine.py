"""The engine that runs modules: how it is set up, the proof that it can be stopped, and what it compiled."""

import importlib.metadata
import platform
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from wasmtime import Config, Engine, Func, Instance, Module, Store, Trap, TrapCode, WasmtimeError, wat2wasm

from wayside_edge.compute.compiled import CacheError, CompiledModules
from wayside_edge.compute.compiling import compile_apart
from wayside_edge.compute.pinned import kind_of, read_pinned
from wayside_edge.compute.serving import StageError
from wayside_shared.errors import RejectedError
from wayside_shared.module_abi import MAX_MODULE_BYTES, faults
from wayside_shared.module_file import describe_module
from wayside_shared.stage_worker import Failure, Load

SETUP: Final[Mapping[str, bool | int | str]] = {
    "consume_fuel": True,
    "epoch_interruption": True,
    # Without these a memory takes 4 GiB of address space for itself, and RLIMIT_AS could bound nothing.
    "memory_reservation": 0,
    "memory_guard_size": 0,
    "memory_may_move": True,
    "memory_reservation_for_growth": 1 << 20,
    # Else a module's data would be mapped from a memfd, which a confined process cannot make.
    "memory_init_cow": False,
    # A quarter of the smallest stack of a thread; compilers give modules a stack of their own in linear memory.
    "max_wasm_stack": 256 * 1024,
    # A worker has one module, and other workers want the other cores.
    "parallel_compilation": False,
    # What the interface does not need.
    "wasm_threads": False,
    "wasm_memory64": False,
    "wasm_multi_memory": False,
    "wasm_gc": False,
    "wasm_exceptions": False,
    "wasm_stack_switching": False,
}
SPIN: Final = '(module (func (export "spin") (loop br 0)))'
PROOF_FUEL: Final = 100_000
"""Spins for a moment: the proof ends even where the epoch does not interrupt."""
TICKS: Final = 8
"""Ticks of a deadline: a call is stopped at most an eighth of it late, and an idle worker wakes up that seldom."""
SHORTEST_TICK_S: Final = 0.001
REFUSED: Final = "refused"
REMEMBERED: Final = (Failure.MEMORY, Failure.DEADLINE)
"""What compiling may fail of that costs much, and would each time again."""


def make_engine(setup: Mapping[str, bool | int | str] = SETUP) -> Engine:
    """An engine, set up and proved.

    Raises:
        StageError: it does not stop a module that spins; nothing may then run on it.
    """
    config = Config()
    for name, value in setup.items():
        # A name that wasmtime does not know would be set without a word and do nothing.
        if not isinstance(getattr(Config, name, None), property):
            raise StageError(Failure.CRASH, f"this wasmtime has no setting {name}")
        setattr(config, name, value)
    engine = Engine(config)
    _prove(engine)
    return engine


def _prove(engine: Engine) -> None:
    spin = Module(engine, bytes(wat2wasm(SPIN)))
    if (code := _stopped(engine, spin, epochs=0)) is not TrapCode.OUT_OF_FUEL:
        raise StageError(Failure.CRASH, f"this wasmtime does not stop a module without fuel ({code})")
    if (code := _stopped(engine, spin, epochs=1)) is not TrapCode.INTERRUPT:
        raise StageError(Failure.CRASH, f"this wasmtime does not stop a module at its deadline ({code})")


def _stopped(engine: Engine, spin: Module, epochs: int) -> TrapCode | str:
    """By what it is stopped when that many epochs pass before its first instruction, and its deadline is one."""
    store = Store(engine)
    try:
        store.set_fuel(PROOF_FUEL)
        store.set_epoch_deadline(1)
        function = Instance(store, spin, []).exports(store)["spin"]
        assert isinstance(function, Func)
        for _ in range(epochs):
            engine.increment_epoch()
        function(store)
    except Trap as trap:
        return trap.trap_code or "a trap without code"
    except WasmtimeError as error:
        return str(error)
    return "it returned"


class Ticker:
    """Advances the epoch of an engine, from a thread of its own, for as long as the process lives.

    Args:
        engine: whose.
        deadline_ms: what calls will be given.
    """

    def __init__(self, engine: Engine, deadline_ms: int) -> None:
        self.tick_s = max(deadline_ms / 1000 / TICKS, SHORTEST_TICK_S)
        # The first tick may come at once, so it does not count.
        self.ticks = -int(-deadline_ms / 1000 // self.tick_s) + 1
        """What to give `Store.set_epoch_deadline` for the deadline."""
        self._tick: Callable[[], None] = engine.increment_epoch
        self._never = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="ticker", daemon=True).start()

    def _run(self) -> None:
        while not self._never.wait(self.tick_s):
            self._tick()


def read_module(load: Load) -> bytes:
    """The bytes of the module.

    Raises:
        StageError: there is no such file, it is another, or it is no module.
    """
    data = read_pinned(Path(load.file), load.sha256, MAX_MODULE_BYTES)
    match kind_of(data):
        case "wasm":
            return data
        case "tflite":
            raise StageError(Failure.ABI, 'it is a TFLite model; write kind = "tflite"')
        case _:
            raise StageError(Failure.ABI, "it does not begin as a module of WebAssembly does")


def compiled(engine: Engine, load: Load, data: bytes, warn: Callable[[str], None]) -> Module:
    """The module, from the cache where that is possible.

    Args:
        engine: of `SETUP`.
        load: names the cache.
        data: the module's bytes, found to be those that `load` names.
        warn: gets a line when the cache is of no use.

    Raises:
        StageError: these bytes are no module, or one that takes too much to compile.
    """
    _check(data)
    identity = _identity(load.sha256)
    cache: CompiledModules | None = None
    try:
        cache = None if load.cache is None else CompiledModules(Path(load.cache))
        kept = None if cache is None else cache.get(identity)
        if kept is not None:
            return Module.deserialize(engine, kept)
        _refused_before(cache, identity)
    except (CacheError, WasmtimeError) as error:
        warn(f"compiled anew: {' '.join(str(error).split())[:300]}")
    try:
        made = compile_apart(engine, data)
    except StageError as error:
        if error.failure in REMEMBERED:
            _keep(cache, f"{REFUSED} {identity}", f"{error.failure.value} {error.detail}".encode(), warn)
        raise
    _keep(cache, identity, made, warn)
    return Module.deserialize(engine, made)


def _refused_before(cache: CompiledModules | None, identity: str) -> None:
    kept = None if cache is None else cache.get(f"{REFUSED} {identity}")
    if kept is not None:
        failure, _, detail = kept.decode().partition(" ")
        raise StageError(Failure(failure), f"{detail}, as was found before")


def _check(data: bytes) -> None:
    """Hold a module against the interface. Not by the engine: that compiles first, and its library ends the process
    when it is asked for the name of v128 (wasmtime 50).

    Raises:
        StageError: it breaks the interface, with all that is wrong; or it is too large to be compiled.
    """
    try:
        file = describe_module(data)
    except RejectedError as error:
        raise StageError(Failure.ABI, error.detail) from error
    found = list(faults(file.exports, file.imports))
    if found:
        raise StageError(Failure.ABI, "; ".join(found)[:400])


def _keep(cache: CompiledModules | None, identity: str, data: bytes, warn: Callable[[str], None]) -> None:
    if cache is not None:
        try:
            cache.put(identity, data)
        except CacheError as error:
            warn(f"not kept for the next start: {error}")


def _identity(sha256: str) -> str:
    setup = ",".join(f"{name}={SETUP[name]}" for name in sorted(SETUP))
    return f"{sha256} wasmtime {importlib.metadata.version('wasmtime')} {platform.machine()} {setup}"
