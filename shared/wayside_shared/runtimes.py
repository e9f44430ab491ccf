"""What to type where the runtimes of stages (WASM modules, TFLite models) are not installed."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

LOCK: Final = Path("share/wayside/compute.lock")
"""Where an installation has it, below its prefix; in the repository it is requirements/compute.lock."""

MODULES: Final = frozenset({"ai_edge_litert", "flatbuffers", "numpy", "tflite_runtime", "wasmtime"})
"""What it installs that Wayside imports for stages alone."""


def install_command() -> str:
    """The command that installs them beside the Wayside that is running, in its tested versions."""
    lock = Path(sys.prefix) / LOCK
    if not lock.exists():
        lock = Path(__file__).parents[2] / "requirements" / LOCK.name
    root = "" if os.access(sys.prefix, os.W_OK) else "sudo "
    # Without --no-deps pip looks for what LiteRT says it needs and no Python of today has (decision 0007).
    return f"{root}{sys.executable} -m pip install --no-deps --require-hashes -r {lock}"


def missing_text(name: str) -> str:
    """That the package of module `name` is not installed, and what to type."""
    return f"{name.partition('.')[0]} is not installed; type: {install_command()}"


def missing_in(lines: Iterable[str]) -> str | None:
    """The same for a program that ended with `lines` on its standard error; None when it ended of something else."""
    for line in lines:
        _, found, rest = line.partition("ModuleNotFoundError: No module named '")
        if found:
            return missing_text(rest.partition("'")[0])
    return None
