"""What a person types where the runtimes of stages are missing."""

import shlex
import sys
from pathlib import Path

from wayside_shared.runtimes import LOCK, install_command, missing_in

REPOSITORY = Path(__file__).parents[2]


def test_the_command_installs_what_this_installation_brought() -> None:
    words = shlex.split(install_command().removeprefix("sudo "))
    assert words[:-1] == [sys.executable, "-m", "pip", "install", "--no-deps", "--require-hashes", "-r"]
    lock = Path(words[-1])
    assert lock == Path(sys.prefix) / LOCK  # as in an installation without the repository beside it
    assert lock.read_bytes() == (REPOSITORY / "requirements" / "compute.lock").read_bytes()


def test_a_program_that_ended_for_want_of_one_is_told_apart() -> None:
    lines = ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'numpy.core'"]
    assert missing_in(lines) == f"numpy is not installed; type: {install_command()}"
    assert missing_in(["MemoryError"]) is None
