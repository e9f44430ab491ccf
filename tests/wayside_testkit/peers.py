"""Other people's drivers on our simulated buses, living by a bench's clock."""

from types import ModuleType, SimpleNamespace

import pytest

from wayside_testkit.sensing import Bench
from wayside_testkit.tape import Busio


def peer_bus(bench: Bench, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Busio:
    """The bench's I2C bus for a peer whose `modules` take their pauses on the bench's clock."""
    clock = bench.clock
    for module in modules:
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=clock.sleep, time=clock, monotonic=clock))
    return Busio(bench.i2c("main"))
