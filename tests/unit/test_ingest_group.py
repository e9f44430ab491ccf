"""What a group is made of on its way into the database."""

import numpy as np

from wayside_server.storage.ingest_group import older
from wayside_shared.columns import Block


def block(name: str, times_us: "np.typing.NDArray[np.int64]") -> Block:
    return Block(name, "Cel", times_us, np.zeros(len(times_us)))


def test_late_samples_are_counted_in_shared_and_in_own_time_columns() -> None:
    shared = np.array([10, 20, 30], np.int64)
    own = np.array([19, 20], np.int64)
    assert older([block("a", shared), block("b", shared), block("c", own)], 20) == 3
    assert older([block("a", shared)], 10) == 0
    assert older([], 20) == 0
