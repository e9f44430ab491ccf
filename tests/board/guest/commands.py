"""The agent's commands for people, typed on the board."""

import subprocess
from collections.abc import Sequence


def typed(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit status, output and complaints of a command."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60.0, check=False)
    return done.returncode, done.stdout, done.stderr
