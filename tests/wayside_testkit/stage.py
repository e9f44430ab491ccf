"""The real process of a stage, spoken to as the agent does."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from wasmtime import wat2wasm

from wayside_shared.stage_block import Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import LENGTH, Done, Failed, Limits, Load, Message, Process, decode_frame, encode_frame

LIMITS = Limits(fuel=20_000_000, deadline_ms=1000, memory_bytes=2 * 1024 * 1024, output_readings=256)


class Worker:
    """A worker process; leave the `with` block and it is gone.

    Args:
        module: the program, as for `python -m`.
    """

    def __init__(self, module: str = "wayside_edge.compute.wasm") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self, message: Message) -> Done | Failed:
        """The answer; an EOFError with what the process said when it ended without one."""
        self.send(encode_frame(message))
        return self.answer()

    def send(self, data: bytes) -> None:
        """Bytes on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def answer(self) -> Done | Failed:
        """The next answer."""
        assert self.process.stdout is not None
        head = self.process.stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise EOFError(self.end()[1])
        answer = decode_frame(self.process.stdout.read(LENGTH.unpack(head)[0]))
        assert isinstance(answer, Done | Failed)
        return answer

    def end(self) -> tuple[int, str]:
        """Close its standard input; its exit status and what it said on standard error."""
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said.decode()

    def memory_mb(self, field: str = "VmHWM") -> float:
        """Resident memory, the most that it had, in megabytes."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))


def load(
    file: Path,
    *,
    limits: Limits = LIMITS,
    inputs: Sequence[str] = (),
    settings: Mapping[str, str | int | float | bool] | None = None,
    state: bytes | None = None,
    cache: Path | None = None,
) -> Load:
    """The first message for a file, with its own digest."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Load(str(file), digest, limits, inputs, settings or {}, state, None if cache is None else str(cache))


def write_wat(folder: Path, text: str) -> Path:
    """A module from its text."""
    file = folder / "module.wasm"
    file.write_bytes(bytes(wat2wasm(text)))
    return file


def block(series: str, unit: str, values: Sequence[float], *, begin_ns: int = 0, step_ns: int = 10**9) -> Block:
    """One series with a value each step."""
    readings = [BlockReading(begin_ns + step_ns * place, value, 0) for place, value in enumerate(values)]
    return Block([BlockSeries(series, unit)], readings)


def processed(worker: Worker, given: Block, clock: str = "boot") -> tuple[Done, Block]:
    """What the stage gave for a block, which must go well; an empty block when it gave nothing."""
    done = worker.ask(Process(given.encode(), clock))
    assert isinstance(done, Done), done
    return done, decode_block(done.block, max_readings=100_000) if done.block else Block([], [])
