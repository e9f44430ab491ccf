"""Runs many models, each in a process that is forked from one which has loaded the interpreter: two hundred in the time
that ten would take by themselves. `python forked_models.py FOLDER FRAMES DEADLINE_S` prints a JSON line for each.
"""

import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from wayside_edge.compute.interpreter import load_runtimes
from wayside_edge.compute.serving import serve
from wayside_edge.compute.tflite import TfliteStage
from wayside_shared.stage_worker import LENGTH, Done, Failed, Load, decode_frame, encode_frame

CRASHED = 70
"""Exit status of a process whose Python fell."""


def outcome(model: Path, frames: bytes, deadline_s: float) -> dict[str, object]:
    """What became of one model, and how long it took."""
    load = Load(str(model), hashlib.sha256(model.read_bytes()).hexdigest(), inputs=("room.a",))
    # A pipe, as the process may write no file; a few answers fit into it unread.
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as questions, os.fdopen(reading, "rb") as answers:
        questions.write(encode_frame(load) + frames)
        questions.seek(0)
        began_s = time.monotonic()
        child = os.fork()
        if child == 0:
            status = CRASHED
            try:
                os.dup2(questions.fileno(), 0)
                os.dup2(writing, 1)
                status = serve(TfliteStage)
            finally:
                os._exit(status)
        os.close(writing)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 2 * deadline_s)
        _, ended = os.waitpid(child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        took_s = time.monotonic() - began_s
        given = answers.read()
    kinds = []
    while given:
        (size,) = LENGTH.unpack(given[: LENGTH.size])
        answer = decode_frame(given[LENGTH.size : LENGTH.size + size])
        given = given[LENGTH.size + size :]
        kinds.append(
            answer.failure.value if isinstance(answer, Failed) else "done" if isinstance(answer, Done) else "?"
        )
    return {"model": model.name, "status": os.waitstatus_to_exitcode(ended), "answers": kinds, "took_s": took_s}


if __name__ == "__main__":
    load_runtimes()
    for each in sorted(Path(sys.argv[1]).glob("*.tflite")):
        print(json.dumps(outcome(each, Path(sys.argv[2]).read_bytes(), float(sys.argv[3]))), flush=True)
