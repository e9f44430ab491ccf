"""How this process takes memory from the C library."""

import ctypes
from typing import Final

M_ARENA_MAX: Final = -8
"""mallopt(3)."""


def share_one_heap() -> None:
    """Have all threads to come take memory from one heap: glibc else opens one for each that allocates, which saves
    waiting that the interpreter's lock makes anyway, and costs 1.4 MB over the agent's eight threads."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none, and one heap
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
