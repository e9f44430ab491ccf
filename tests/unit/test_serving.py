"""The loop of a stage's process, with stages that are mistakes of ours."""

import subprocess
import sys

import pytest

from wayside_edge.compute.serving import MAX_DETAIL, StageError, one_line
from wayside_shared.stage_worker import LENGTH, Failed, Failure, Load, decode_frame, encode_frame

PROGRAM = "from wayside_edge.compute.serving import serve; serve(lambda load: {}[load.sha256])"


def test_a_mistake_is_answered_before_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=encode_frame(Load("x", "0" * 64)),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert decode_frame(done.stdout[LENGTH.size :]) == Failed(Failure.CRASH, f"KeyError: '{'0' * 64}'")
    assert b"Traceback" in done.stderr


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("it is\n  20 °C", "it is 20 °C"),
        ("\x1b[2J\x07a\0", r"\x1b[2J\x07a\x00"),
        ("\u202ex\x85y", r"\u202ex y"),
    ],
)
def test_what_is_said_of_a_failure_can_be_printed(text: str, line: str) -> None:
    assert StageError(Failure.MODEL, text).detail == one_line(text) == line
    assert len(one_line("x" * 10_000)) == MAX_DETAIL
