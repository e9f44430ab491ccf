"""What was accepted outlives a power cut."""

from pathlib import Path
from random import Random

import pytest

from faults.power import cut_power, why_not_here


@pytest.mark.slow
def test_what_was_accepted_outlives_a_power_cut(tmp_path: Path) -> None:
    reason = why_not_here()
    if reason:
        pytest.skip(f"power cannot be cut here: {reason}")
    cuts = cut_power(tmp_path, 5, Random(1))
    assert cuts.accepted > 100, "cuts under which nothing was written prove nothing"
    assert cuts.lost == 0
    assert cuts.opened_s < 5
