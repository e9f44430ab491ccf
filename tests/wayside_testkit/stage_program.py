"""A worker of a stage that does what its settings say; it runs as a file of its own.

It doubles what it is given, adds up all it ever saw as its state, and misbehaves on request: `on_load` and
`on_value`, by the first value of a block, name one of `MISDEEDS`. It gives what it gives `times` over, and dies at a
block when its state is `dies_from` or more.
"""

import os
import signal
import struct
import sys
import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path

from wayside_shared.stage_block import Block, BlockReading, BlockSeries, decode_block
from wayside_shared.stage_worker import (
    LENGTH,
    MAX_FRAME_BYTES,
    Done,
    Failed,
    Failure,
    Load,
    Message,
    Process,
    decode_frame,
    encode_frame,
)


def main() -> None:
    """Answer until the input ends."""
    load = _read()
    assert isinstance(load, Load)
    _misbehave(str(load.settings.get("on_load", "")))
    if load.state and load.settings.get("refuses_state"):
        _answer(Failed(Failure.REFUSED, "not my state"))
        return
    total = struct.unpack("<d", load.state)[0] if load.state else 0.0
    _answer(Done(state=struct.pack("<d", total)))
    while (message := _read()) is not None:
        assert isinstance(message, Process)
        block = decode_block(message.block, max_readings=100_000)
        first = block.readings[0].value
        if first == load.settings.get("bad_value"):
            _misbehave(str(load.settings["on_value"]))
        if total >= float(load.settings.get("dies_from", inf)):
            os._exit(3)
        total += sum(reading.value for reading in block.readings if reading.quality == 0)
        given = _doubled(block, str(load.settings.get("suffix", "")), int(load.settings.get("times", 1)))
        _answer(Done(given, struct.pack("<d", total), used_us=5))


def _doubled(block: Block, suffix: str, times: int) -> bytes:
    series = [BlockSeries(name.partition(".")[2] + suffix, unit) for name, unit in block.series]
    readings = [BlockReading(r.time_ns, 2 * r.value, r.series, r.quality) for r in block.readings]
    return Block(series, readings * times).encode()


def _read() -> Message | None:
    head = sys.stdin.buffer.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    return decode_frame(sys.stdin.buffer.read(*LENGTH.unpack(head)))


def _answer(message: Message) -> None:
    sys.stdout.buffer.write(encode_frame(message))
    sys.stdout.buffer.flush()


def _misbehave(how: str) -> None:
    if how.startswith("once "):
        mark = Path(how.removeprefix("once "))
        if mark.exists():
            return
        mark.touch()
        how = "die"
    if how:
        MISDEEDS[how]()


def _hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)  # there is nobody to wait for


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    _hang()


def _far_away() -> None:
    block = Block([BlockSeries("x", "1")], [BlockReading(1 << 61, 1.0, 0)])
    _write(encode_frame(Done(block.encode())))


def _flood() -> None:
    block = Block([BlockSeries(f"s{i}", "1") for i in range(300)], [BlockReading(1, 1.0, i) for i in range(300)])
    _write(encode_frame(Done(block.encode())))


def _refuse() -> None:
    _write(encode_frame(Failed(Failure.REFUSED, "not this")))


def _crash() -> None:
    """A traceback that takes its time, after the pipe has closed."""
    os.close(sys.stdout.fileno())
    time.sleep(0.1)  # longer than an agent needs to see the end of the pipe
    message = "the reason \x1b[31m"
    raise RuntimeError(message)


MISDEEDS: Mapping[str, Callable[[], None]] = {
    "hang": _hang,
    "die": lambda: os._exit(3),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crash": _crash,
    "escape": lambda: _write(encode_frame(Failed(Failure.MODEL, "op \x1b[2J\nforged\x07"))),
    "garbage": lambda: _write(LENGTH.pack(20) + bytes(20)),
    "endless": lambda: _write(LENGTH.pack(MAX_FRAME_BYTES + 1)),
    "half": lambda: _write(LENGTH.pack(1000) + b"x"),
    "no block": lambda: _write(encode_frame(Done(b"not a block"))),
    "far away": _far_away,
    "flood": _flood,
    "out of turn": lambda: _write(encode_frame(Load("x", "0" * 64))),
    "refuse": _refuse,
}


if __name__ == "__main__":
    main()
