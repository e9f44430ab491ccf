"""Compiling a module in a child of the worker: what it takes is bounded, and gone when it is done.

Neither fuel nor a deadline holds while a module is compiled, and some modules of a megabyte want gigabytes.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from wasmtime import Engine, Module, WasmtimeError

from wayside_edge.compute.sandbox import PR_SET_PDEATHSIG, address_space_bytes, confine
from wayside_edge.compute.serving import StageError
from wayside_shared.stage_worker import Failure

COMPILING_BYTES: Final = 256 * 1024 * 1024
"""Address space beside what a worker has. Compilers' output of the largest size that is taken needs a quarter of it."""
COMPILING_S: Final = 20
"""Processor time. That output takes two seconds on a desktop, and a small board is ten times slower; it ends before the
agent gives a worker up that does not start."""
NICE: Final = 10
"""Sensors come first."""
GOOD, BAD = b"\0", b"\1"
ENDS: Final = {
    signal.SIGABRT: (Failure.MEMORY, f"compiling it takes more than {COMPILING_BYTES} bytes"),
    signal.SIGXCPU: (Failure.DEADLINE, f"compiling it takes more than {COMPILING_S} s"),
}


def compile_apart(engine: Engine, data: bytes) -> bytes:
    """What `Module.deserialize` of the same engine takes; call it while this process has one thread.

    Raises:
        StageError: these bytes are no module, or compiling them goes over the bounds.
    """
    reader, writer = os.pipe()
    worker = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child(worker, writer, lambda: bytes(Module(engine, data).serialize()))
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said, result = answer.read(1), answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        failure, why = ENDS.get(signal.Signals(number), (Failure.CRASH, f"the compiler ended with signal {number}"))
        raise StageError(failure, why)
    if said != GOOD:
        raise StageError(Failure.ABI, result.decode(errors="replace") or "the compiler ended without an answer")
    return result


def _child(worker: int, writer: int, compile_: Callable[[], bytes]) -> NoReturn:
    """Never returns into the worker's code, whatever happens."""
    try:
        # It has the worker's pipes: if it outlived it, the agent would wait for an answer.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker:
            os._exit(1)
        # Where the compiler has no memory left it writes pages about it; the failure says it in a line.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with suppress(OSError):  # not a right that it needs
            os.nice(NICE)
        # What cannot be applied here cannot be in the worker either, which says so.
        confine(address_space_bytes() + COMPILING_BYTES, cpu_s=COMPILING_S)
        with os.fdopen(writer, "wb") as answer:
            try:
                answer.write(GOOD + compile_())
            except WasmtimeError as error:
                answer.write(BAD + " ".join(str(error).split())[:300].encode())
            except MemoryError:
                os.abort()
    finally:
        os._exit(0)
