"""A module at work on readings of a file, in the worker program that the agent runs."""

import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from wayside_firmware.modules.inspection import check_begin
from wayside_firmware.modules.rows import LONG, blocks, long_line, read_rows
from wayside_shared.errors import ConfigError, RejectedError, WaysideError
from wayside_shared.runtimes import missing_in
from wayside_shared.stage_block import Block, decode_block
from wayside_shared.stage_worker import LENGTH, Done, Failed, Limits, Load, Message, Process, decode_frame, encode_frame

WORKER: Final = "wayside_edge.compute.wasm"
CLOCK: Final = "utc"
"""What a file says is UTC."""


class StageFailedError(WaysideError):
    """The module failed; the message says why, as the agent would."""


@dataclass(slots=True)
class Account:
    """What a trial took.

    Args:
        readings_in: given to the module.
        readings_out: got from it.
        blocks: that went in.
        used_us: time in the module, in microseconds.
        slowest_us: of the block that took longest.
        round_trip_us: all the time between question and answer.
        fuel: used in all.
        most_fuel: for one block.
        memory_kb: the most that its process had resident.
        events: that it sent.
        left_out: events and lines over the limit.
    """

    readings_in: int = 0
    readings_out: int = 0
    blocks: int = 0
    used_us: int = 0
    slowest_us: int = 0
    round_trip_us: float = 0.0
    fuel: int = 0
    most_fuel: int = 0
    memory_kb: int = 0
    events: int = 0
    left_out: int = 0

    def add(self, given: Block, done: Done, took_us: float) -> None:
        """Count a block."""
        self.readings_in += len(given.readings)
        self.blocks += 1
        self.used_us += done.used_us
        self.slowest_us = max(self.slowest_us, done.used_us)
        self.round_trip_us += took_us
        self.fuel += done.fuel
        self.most_fuel = max(self.most_fuel, done.fuel)
        self.events += len(done.events)
        self.left_out += done.left_out

    def lines(self, limits: Limits) -> Iterator[str]:
        """For people."""
        each = max(self.blocks, 1)
        yield f"# readings in: {self.readings_in}, out: {self.readings_out}; blocks: {self.blocks}"
        yield (
            f"# a block took {self.used_us / each:.0f} us in the module ({self.slowest_us} us at most, the deadline is "
            f"{limits.deadline_ms} ms), {self.round_trip_us / each:.0f} us with the way there and back"
        )
        yield f"# fuel: {self.fuel // each:,} a block, {self.most_fuel:,} at most of {limits.fuel:,}"
        yield f"# memory of its process: {self.memory_kb / 1000:.1f} MB at most"
        if self.events:
            yield f"# events: {self.events}"
        if self.left_out:
            yield f"# {self.left_out} events and log lines were over the limit and left out"


@dataclass(frozen=True, slots=True)
class Trial:
    """What to try.

    Args:
        module: the file.
        rows: the file with readings.
        settings: for the module.
        limits: as the agent would set them.
        block: readings of a block.
        time_column: of a wide table; see `read_rows`.
    """

    module: Path
    rows: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    block: int = 60
    time_column: str | None = None

    def run(self) -> Iterator[str]:
        """What came out, in the long form of CSV; then what it took, each line with a `#` before it.

        What the module logs and its events come between, after a `#` too.

        Raises:
            ConfigError: a file cannot be read.
            StageFailedError: the module failed.
        """
        account = Account()
        try:
            data = self.module.read_bytes()
            names = self._names()
            check_begin(self.module, data)
            digest = hashlib.sha256(data).hexdigest()
            with self.rows.open(newline="", encoding="utf-8-sig") as file, _worker(self.module.name) as worker:
                load = Load(str(self.module), digest, self.limits, inputs=names, settings=self.settings)
                loaded = worker.ask(load)
                yield ",".join(LONG)
                yield from _said(loaded)
                for given in blocks(read_rows(file, str(self.rows), self.time_column), self.block):
                    yield from self._step(worker, given, account)
                account.memory_kb = worker.memory_kb()
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
        yield from account.lines(self.limits)

    def _names(self) -> Sequence[str]:
        with self.rows.open(newline="", encoding="utf-8-sig") as file:
            return tuple(dict.fromkeys(row.series.name for row in read_rows(file, str(self.rows), self.time_column)))

    def _step(self, worker: "_Worker", given: Block, account: Account) -> Iterator[str]:
        began_s = time.perf_counter()
        done = worker.ask(Process(given.encode(), CLOCK))
        account.add(given, done, (time.perf_counter() - began_s) * 1e6)
        yield from _said(done)
        if done.block:
            out = decode_block(done.block, max_readings=self.limits.output_readings)
            account.readings_out += len(out.readings)
            yield from (_csv(long_line(out.series[each.series], each)) for each in out.readings)


def _said(done: Done) -> Iterator[str]:
    yield from (f"# log {level}: {line}" for level, line in done.log)
    yield from (f"# event: {event}" for event in done.events)


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


class _Worker:
    """The program.

    Args:
        name: of the module, for messages.
        process: with pipes for questions and answers.
        said: the file that its standard error goes to.
    """

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
        self._name = name
        self._process = process
        self._said = said

    def ask(self, message: Message) -> Done:
        """The answer to `message`.

        Raises:
            ConfigError: what it runs with is not installed.
            StageFailedError: the module failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(encode_frame(message))
            self._process.stdin.flush()
            (size,) = LENGTH.unpack(self._process.stdout.read(LENGTH.size).ljust(LENGTH.size, b"\0"))
            answer = decode_frame(self._process.stdout.read(size))
        except (BrokenPipeError, RejectedError) as error:
            raise self._ended() from error
        if isinstance(answer, Failed):
            raise StageFailedError(f"{self._name}: {answer.failure.meaning}: {answer.detail}")
        assert isinstance(answer, Done)
        return answer

    def memory_kb(self) -> int:
        """The most that it had resident."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)

    def _ended(self) -> WaysideError:
        self._process.kill()
        self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        missing = missing_in(lines)
        if missing is not None:
            return ConfigError(missing)
        return StageFailedError(
            f"{self._name}: its process ended without an answer: {lines[-1] if lines else 'it said nothing'}"
        )


@contextmanager
def _worker(name: str) -> Iterator[_Worker]:
    command = [sys.executable, "-m", WORKER]
    # A file, because nobody reads a pipe while it is at work.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        try:
            yield _Worker(name, process, said)
        finally:
            process.kill()
