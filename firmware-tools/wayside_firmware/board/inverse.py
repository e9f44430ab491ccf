"""Data-sheet formulas turned round: which code a chip gives for what it measures."""

from collections.abc import Callable


def nearest_code(forward: Callable[[float], float], target: float, bits: int) -> int:
    """The raw value of `bits` bits whose `forward` comes nearest to `target`; `forward` must not turn round."""
    low, high = 0, (1 << bits) - 1
    rising = forward(high) > forward(low)
    while high - low > 1:
        middle = (low + high) // 2
        if (forward(middle) < target) == rising:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda raw: abs(forward(raw) - target))
