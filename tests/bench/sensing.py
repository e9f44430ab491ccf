"""What sensing costs: a hundred simulated chips, a fast FIFO, and a driver beside the bare transfers it makes."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from smbus2 import i2c_msg

from bench.figures import Figure, Size, middle, progress, within
from wayside_edge.drivers.bme280 import Bme280, Bme280Settings
from wayside_edge.drivers.bme280.settings import Mode
from wayside_edge.hal.buses import Buses, BusSettings
from wayside_edge.ports import Steps
from wayside_firmware.board import open_bus
from wayside_shared.settings import Table

UPLINK = '[uplink]\nhost = "localhost"\ndevice = "bench-1"\n[clock]\ntrust_system = true\n'
SENSORS, RATE_HZ = 100, 10
FIFO_HZ = 1000


def measure(group: str, size: Size) -> Iterator[Figure]:
    """The figures of the group `sensors`."""
    yield from _hundred(group, size)
    yield from _fifo(group, size)
    yield _overhead(group, size)


BARE = """
import sys, time
late, due = [], time.monotonic()
for _ in range(int(float(sys.argv[1]) * 100)):
    due += 0.01
    time.sleep(max(due - time.monotonic(), 0))
    late.append(time.monotonic() - due)
print(sorted(late)[int(len(late) * 0.99)] * 1e3)
"""
"""A process that only sleeps, until each of a hundred ticks a second: how late the machine itself makes it."""


def _hundred(group: str, size: Size) -> Iterator[Figure]:
    seconds = size.of(60, 3)
    with subprocess.Popen([sys.executable, "-c", BARE, str(seconds)], stdout=subprocess.PIPE, text=True) as bare:
        found = _sense(_hundred_chips(), seconds)
        bare_ms = float(bare.communicate(timeout=60)[0])
    how = (
        f"{SENSORS} simulated chips at {RATE_HZ} Hz on {SENSORS // 10} buses, {found['reads']:,} reads in "
        f"{found['took_s']:.0f} s, simulation, batches and outbox included"
    )
    yield within(group, "sensors_cpu_pct", found["cpu_pct"], "% of a core", how)
    yield within(group, "sensors_missed", found["missed"] + found["failed"], "reads", how)
    typical = (
        f"of the sensor that fared worst; {found['late_p99_median_ms']:.2f} ms of the one in the middle; "
        f"{bare_ms:.2f} ms of a process that only sleeps, at the same time"
    )
    yield within(group, "sensors_jitter_p99_ms", found["late_p99_ms"], "ms", f"{how}, {typical}")


def _fifo(group: str, size: Size) -> Iterator[Figure]:
    seconds = size.of(60, 3)
    found = _sense(_accelerometer(), seconds)
    fifo = found["fifo"]
    how = (
        f"{fifo['collected']:,} samples of 3 axes into the FIFO, {fifo['samples']:,} into batches, {fifo['unread']} "
        f"unread, over {fifo['span_s']:.2f} s; {fifo['overruns']} overruns, widest gap {fifo['widest_gap_ms']:.2f} ms"
    )
    lost = fifo["collected"] - fifo["unread"] - fifo["samples"] + fifo["overruns"]
    yield within(group, "fifo_lost", lost, "samples", how)
    yield Figure(group, "fifo_cpu_pct", found["cpu_pct"], "% of a core", f"{FIFO_HZ} Hz, 3 axes, simulation included")


def _overhead(group: str, size: Size) -> Figure:
    """A read of a BME280 that measures all the time, beside the one transfer that it needs."""
    board = {"chips": [{"model": "bme280", "noise": 0.0}]}
    buses = Buses([BusSettings(name="main", kind="simulated", options=Table(board))])
    driver = Bme280(Bme280Settings(mode=Mode.NORMAL, standby_ms=1000.0), "main", buses)
    _finish(driver.start())
    bare = open_bus(board)

    def transfer() -> None:
        bare.i2c_rdwr(i2c_msg.write(0x76, b"\xf2"), i2c_msg.read(0x76, 13))

    count, rounds = size.of(5000, 200), size.of(7, 1)
    reads = [_each_us(lambda: _finish(driver.read()), count) for _ in range(rounds)]
    bares = [_each_us(transfer, count) for _ in range(rounds)]
    driver.close()
    over_us = median(reads) - median(bares)
    how = f"a read {middle(reads)} µs, the bare smbus2 call {middle(bares)} µs, on the same simulated chip"
    return within(group, "driver_overhead_us", over_us, "µs a read", how)


def _finish(steps: Steps[object]) -> None:
    for pause_s in steps:
        time.sleep(pause_s)


def _each_us(call: Callable[[], object], count: int) -> float:
    began_s = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began_s) / count * 1e6


def _sense(config: str, seconds: int) -> dict[str, Any]:
    """What `sensing_child` tells of `config` after `seconds`."""
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        file = Path(folder) / "edge.toml"
        file.write_text(f'{UPLINK}[outbox]\npath = "{folder}/outbox.db"\nballast_mb = 0\n{config}')
        progress(f"sensing for {seconds} s")
        child = Path(__file__).with_name("sensing_child.py")
        environment = {**os.environ, "PYTHONPATH": str(child.parents[1])}
        done = subprocess.run(
            [sys.executable, str(child), str(file), str(seconds)],
            stdout=subprocess.PIPE, env=environment, timeout=seconds + 120, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _hundred_chips() -> str:
    parts = []
    for bus in range(SENSORS // 10):
        chips = [f'{{ model = "bme280", address = {0x76 + place} }}' for place in range(2)]
        chips += [f'{{ model = "ina219", address = {0x40 + place} }}' for place in range(4)]
        chips += [f'{{ model = "ads1115", address = {0x48 + place} }}' for place in range(4)]
        parts.append(f'[[bus]]\nname = "b{bus}"\nkind = "simulated"\nchips = [{", ".join(chips)}]\n')
        head = f'interval_s = {1 / RATE_HZ}\nbus = "b{bus}"\n'
        for place in range(2):
            name = f'[[sensor]]\nname = "air-{bus}-{place}"\nkind = "bme280"\nmode = "normal"\n'
            parts.append(f"{name}{head}address = {0x76 + place}\n")
        for place in range(4):
            name = f'[[sensor]]\nname = "power-{bus}-{place}"\nkind = "ina219"\n'
            parts.append(f"{name}{head}address = {0x40 + place}\n")
        for place in range(4):
            name = f'[[sensor]]\nname = "level-{bus}-{place}"\nkind = "ads1115"\n'
            channel = '[[sensor.channels]]\ninput = "0"\nname = "level"\n'
            parts.append(f"{name}{head}address = {0x48 + place}\n{channel}")
    return "\n".join(parts)


def _accelerometer() -> str:
    return (
        '[[bus]]\nname = "b"\nkind = "simulated"\nchips = [{ model = "mpu6050" }]\n'
        '[[sensor]]\nname = "pump"\nkind = "mpu6050"\nbus = "b"\ninterval_s = 0.05\n'
        f'fifo_rate_hz = {FIFO_HZ}\nfifo_parts = "acceleration"\n'
    )
