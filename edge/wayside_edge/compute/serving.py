"""The loop of a stage's process: a frame in, a frame out, until the agent closes the pipe or the stage fails.

It knows nothing of WebAssembly or of models, and imports neither.
"""

import os
import sys
from collections.abc import Callable
from typing import BinaryIO, Final, Protocol, TypeVar

from wayside_shared.errors import RejectedError, WaysideError
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

T = TypeVar("T", Load, Process)


MAX_DETAIL: Final = 500
"""Characters of what is said of a failure; what a file says of itself may be in it."""


def one_line(text: str, most: int = MAX_DETAIL) -> str:
    """`text` for a log or a terminal: in one line, cut, and what cannot be printed as `\\x1b` and the like."""
    line = " ".join(text[:most].split())
    return line if line.isprintable() else "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)


class StageError(WaysideError):
    """A stage gives nothing, and its process ends.

    Args:
        failure: why.
        detail: for a person; becomes one line that can be printed.
    """

    def __init__(self, failure: Failure, detail: str) -> None:
        self.failure = failure
        self.detail = one_line(detail)
        super().__init__(f"{failure.meaning}: {self.detail}")


class ProtocolError(WaysideError):
    """What came is not what an agent of this version sends: a mistake of ours."""


class Stage(Protocol):
    """What works in the process.

    Both methods raise StageError when it gives nothing; it is then not used again.
    """

    def loaded(self) -> Done:
        """The answer to `Load`, asked for once, after building: its first state, and what it said while it began."""
        ...

    def process(self, work: Process) -> Done:
        """The answer to a block."""
        ...


StageFactory = Callable[[Load], Stage]
"""Builds the stage, and takes from the process what it does not need from then on (`compute/sandbox.py`)."""


def serve(stage_factory: StageFactory) -> int:
    """Answer frames on standard input with frames on standard output; returns the exit status.

    0: the input ended. 1: the stage failed, and the answer said why, or the agent sent no frame of this protocol, and
    standard error says so. What else writes to standard output, a library in C too, reaches standard error.

    Args:
        stage_factory: called once, with the first message.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with answers:
        return _serve(stage_factory, sys.stdin.buffer, answers)


def _serve(stage_factory: StageFactory, questions: BinaryIO, answers: BinaryIO) -> int:
    stage: Stage | None = None
    while (message := _next(questions)) is not None:
        try:
            if stage is None:
                stage = stage_factory(_expect(message, Load))
                answer = stage.loaded()
            else:
                answer = stage.process(_expect(message, Process))
        except StageError as error:
            _send(answers, Failed(error.failure, error.detail))
            return 1
        except MemoryError:
            _send(answers, Failed(Failure.MEMORY, "its process reached the limit of its address space"))
            return 1
        except Exception as error:  # a bug; it falls, and what it was is told before the pipe closes
            _send(answers, Failed(Failure.CRASH, one_line(f"{type(error).__name__}: {error}")))
            raise
        if not _send(answers, answer):
            return 0
    return 0


def _next(questions: BinaryIO) -> Message | None:
    """The next message; None when the agent has closed the pipe, between two frames or within one."""
    head = questions.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(head)
    if size > MAX_FRAME_BYTES:
        message = f"a frame of {size} bytes; at most {MAX_FRAME_BYTES}"
        raise ProtocolError(message)
    body = questions.read(size)
    if len(body) < size:
        return None
    try:
        return decode_frame(body)
    except RejectedError as error:
        raise ProtocolError(str(error)) from error


def _send(answers: BinaryIO, message: Message) -> bool:
    """Whether the agent is still there to read it."""
    try:
        answers.write(encode_frame(message))
        answers.flush()
    except BrokenPipeError:
        return False
    return True


def _expect(message: Message, kind: type[T]) -> T:
    if not isinstance(message, kind):
        text = f"{type(message).__name__} where {kind.__name__} belongs"
        raise ProtocolError(text)
    return message
