"""What the agent and the process of one stage say to each other, over the worker's standard input and output.

Frames: u32 little-endian length, then a CBOR map. The agent sends `Load` once, then one `Process` at a time; the
worker answers each with `Done` or `Failed`. After `Failed` it ends; a new one gets the state of the last `Done`. It
ends when its standard input does. Its standard error is for people; the agent logs it.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import Any, Final, TypeVar

from wayside_shared.cbor import dumps, loads_map
from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

LENGTH: Final = struct.Struct("<I")
MAX_FRAME_BYTES: Final = 8 * 1024 * 1024
MAX_STATE_BYTES: Final = 64 * 1024
MAX_EVENTS: Final = 64
"""Events and log lines of one `Done`; a worker leaves out what is over it and says how many."""
MAX_LINE_BYTES: Final = 1024

T = TypeVar("T")


class Failure(Enum):
    """Why a stage gave nothing. The value is what travels."""

    FILE = "file"
    ABI = "abi"
    MODEL = "model"
    TRAP = "trap"
    FUEL = "fuel"
    DEADLINE = "deadline"
    MEMORY = "memory"
    OUTPUT = "output"
    REFUSED = "refused"
    CRASH = "crash"

    @property
    def meaning(self) -> str:
        """One sentence for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Failure.FILE: "its file is missing, unreadable, or not the one that sha256 names",
    Failure.ABI: "it is not a module of the version of the interface that this agent speaks",
    Failure.MODEL: "it is not a model that this agent can run",
    Failure.TRAP: "it trapped: it reached outside its memory, divided by zero, or gave up",
    Failure.FUEL: "it used up its fuel",
    Failure.DEADLINE: "it did not finish within its deadline",
    Failure.MEMORY: "it wanted more memory than it may have",
    Failure.OUTPUT: "what it gave is no block of readings, or over its limits",
    Failure.REFUSED: "it cannot work with what it was given",
    Failure.CRASH: "its process ended",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stage may use.

    Args:
        fuel: instructions of WebAssembly a call, roughly.
        deadline_ms: time a call may take.
        memory_bytes: linear memory of a module; address space that a model may take beside its interpreter's.
        output_readings: most readings that it may give for one block.
    """

    fuel: int = 100_000_000
    deadline_ms: int = 1000
    memory_bytes: int = 16 * 1024 * 1024
    output_readings: int = 4096


@dataclass(frozen=True, slots=True)
class Load:
    """The first message.

    Args:
        file: path of the module or model.
        sha256: of that file, 64 hexadecimal digits.
        limits: what it may use.
        inputs: names of the series that it gets, in the order in which they are configured.
        settings: what the configuration has for it.
        state: what it had kept, of the same module; None to begin anew.
        cache: folder for what is compiled, mode 0700; None for no cache.
    """

    file: str
    sha256: str
    limits: Limits = Limits()
    inputs: Sequence[str] = ()
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    state: bytes | None = None
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """Work.

    Args:
        block: readings (`wayside_shared.stage_block`), of one clock.
        clock: which clock: blocks of different clocks have nothing to do with each other.
    """

    block: bytes
    clock: str = "boot"


@dataclass(frozen=True, slots=True)
class Done:
    """The answer to `Load` and to `Process`.

    Args:
        block: what came out; empty when nothing did.
        state: what to keep for another worker of the same module; None when it keeps none.
        events: what happened, a text each.
        log: lines of its own, each with its level of the logging module.
        used_us: time that the module or the interpreter took, in microseconds.
        fuel: what it used of it.
        left_out: events and lines over `MAX_EVENTS`.
    """

    block: bytes = b""
    state: bytes | None = None
    events: Sequence[str] = ()
    log: Sequence[tuple[int, str]] = ()
    used_us: int = 0
    fuel: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The other answer.

    Args:
        failure: why.
        detail: one line for a person.
    """

    failure: Failure
    detail: str


Message = Load | Process | Done | Failed
_KINDS: Final[Mapping[str, type[Any]]] = {"load": Load, "process": Process, "done": Done, "failed": Failed}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def encode_frame(message: Message) -> bytes:
    """`message` with its length before it."""
    # dataclasses.asdict copies every item of it, which took longer than all else here.
    values = {name: getattr(message, name) for name in message.__slots__}
    if isinstance(message, Load):
        values["limits"] = asdict(message.limits)
        values["settings"] = dict(message.settings)
    if isinstance(message, Failed):
        values["failure"] = message.failure.value
    body = dumps({"kind": _NAMES[type(message)], **values})
    return LENGTH.pack(len(body)) + body


def decode_frame(body: bytes) -> Message:
    """The message in the body of a frame.

    Raises:
        RejectedError: it is none; nothing else, whatever the bytes.
    """
    values = loads_map(body)
    kind = _KINDS.get(str(values.pop("kind", None)))
    if kind is None:
        raise RejectedError(RejectCode.MALFORMED, "no message between agent and worker")
    try:
        made: Message = _made(kind, values)
    except (TypeError, ValueError) as error:
        raise RejectedError(RejectCode.MALFORMED, f"no {_NAMES[kind]} message: {error}") from error
    return made


def _made(kind: type[Any], values: dict[Any, Any]) -> Any:
    if set(values) != {each.name for each in fields(kind)}:
        message = "fields are missing or foreign"
        raise ValueError(message)
    if kind is Load:
        values["limits"] = Limits(**_typed(values["limits"], dict))
        values["inputs"] = tuple(_typed(name, str) for name in _typed(values["inputs"], list))
    if kind is Failed:
        values["failure"] = Failure(values["failure"])
        _typed(values["detail"], str)
    if kind is Done:
        _check_done(values)
    if kind is Process:
        _typed(values["block"], bytes)
        _typed(values["clock"], str)
    return kind(**values)


def _check_done(values: dict[Any, Any]) -> None:
    _typed(values["block"], bytes)
    state = values["state"]
    if state is not None and len(_typed(state, bytes)) > MAX_STATE_BYTES:
        message = f"its state is over {MAX_STATE_BYTES} bytes"
        raise ValueError(message)
    if len(_typed(values["events"], list)) > MAX_EVENTS or len(_typed(values["log"], list)) > MAX_EVENTS:
        message = f"more than {MAX_EVENTS} events or lines"
        raise ValueError(message)
    values["events"] = tuple(_typed(event, str) for event in values["events"])
    values["log"] = tuple((_typed(level, int), _typed(line, str)) for level, line in values["log"])
    for name in ("used_us", "fuel", "left_out"):
        _typed(values[name], int)


def _typed(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        message = f"{type(value).__name__} where {kind.__name__} belongs"
        raise TypeError(message)
    return value
