"""The clock, the disk under the outbox, and the service."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Final

from wayside_edge.commands.doctor.finding import Finding, ok, problem, warning
from wayside_edge.hal.clock import FLOOR_NS
from wayside_edge.outbox.settings import MIB, OutboxSettings
from wayside_edge.ports import Clock
from wayside_shared.errors import EXIT_CONFIG

UNIT: Final = "wayside-edge"
SLOW_FSYNC_S: Final = 0.1
"""A batch costs one; at the one batch a second of the defaults, slower ones keep the card busy a tenth of the time."""
SYNCS: Final = 9


def clock(clock: Clock) -> Iterator[Finding]:
    """Whether the time is known."""
    fix = "sudo timedatectl set-ntp true, or set up chrony; in a container, clock.trust_system = true"
    if clock.wall_ns() < FLOOR_NS:
        yield problem("clock", "it is before 2026: the clock was never set, and samples wait for the time", fix)
    elif not clock.synced():
        yield warning("clock", "the kernel does not call it synchronised: samples may wait for the time", fix)
    else:
        yield ok("clock", "synchronised")


def storage(settings: OutboxSettings) -> Iterator[Finding]:
    """Space, and how long a write takes to be safe, where the outbox is."""
    folder = settings.path.parent
    if not folder.is_dir():
        yield problem("disk", f"there is no folder {folder}", f"sudo install -d -o wayside -g wayside -m 0700 {folder}")
        return
    found = os.statvfs(folder)
    free_mb, floor_mb, quota_mb = found.f_bavail * found.f_frsize // MIB, settings.free_disk_floor_mb, settings.quota_mb
    told = f"{free_mb} MiB free in {folder}"
    if free_mb <= floor_mb:
        fix = f"make room, or lower outbox.free_disk_floor_mb ({floor_mb})"
        yield problem("disk", f"{told}, which the outbox leaves to others: samples are given up", fix)
    elif free_mb < floor_mb + quota_mb:
        fix = f"make room, or lower outbox.quota_mb ({quota_mb}) so that drops begin where you decide"
        yield warning("disk", f"{told}, less than outbox.quota_mb and outbox.free_disk_floor_mb together", fix)
    else:
        yield ok("disk", told)
    yield _write_test(folder)


def _write_test(folder: Path) -> Finding:
    try:
        took_s = _fsync_s(folder)
    except OSError as error:
        fix = "let the agent's user write there, and see dmesg for errors of the disk"
        return problem("disk", f"cannot write to {folder}: {error.strerror}", fix)
    told = f"a write to {folder} is safe after {took_s * 1000:.1f} ms"
    if took_s > SLOW_FSYNC_S:
        return warning("disk", told, "use a card of class A1 or better, or a disk; meanwhile a larger batch.max_age_s")
    return ok("disk", told)


def _fsync_s(folder: Path) -> float:
    """The median time that 4 KiB take to be durable in `folder`, in seconds."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            begun = time.monotonic()
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.monotonic() - begun)
    return median(times)


def service(root: Path) -> Iterator[Finding]:
    """The state of the agent's unit."""
    if not (root / "run/systemd/system").is_dir():
        yield ok("service", "systemd does not run this machine; see that something else starts the agent")
        return
    yield _state(_properties())


def _properties() -> Mapping[str, str]:
    wanted = "LoadState,ActiveState,UnitFileState,ExecMainStatus,NRestarts"
    shown = subprocess.run(
        ["systemctl", "show", UNIT, f"--property={wanted}"], capture_output=True, text=True, timeout=10.0, check=False
    )
    pairs = (line.partition("=") for line in shown.stdout.splitlines())
    return {name: value for name, _, value in pairs}


def _state(of: Mapping[str, str]) -> Finding:
    journal = f"journalctl -u {UNIT} -n 50"
    active, status = of.get("ActiveState", ""), of.get("ExecMainStatus", "")
    if of.get("LoadState") != "loaded":
        return warning("service", f"there is no unit {UNIT}", "install deploy/systemd/wayside-edge.service")
    if active == "failed" and status == str(EXIT_CONFIG):
        return problem("service", f"{UNIT} ended because a setting is wrong", "wayside-edge check-config")
    if active == "failed" or of.get("NRestarts", "0") not in ("0", ""):
        what = f"{UNIT} ended with status {status}" if active == "failed" else f"{UNIT} was restarted"
        return (problem if active == "failed" else warning)("service", f"{what} ({of.get('NRestarts')} times)", journal)
    if active not in ("active", "activating"):
        return warning("service", f"{UNIT} is {active}", f"sudo systemctl enable --now {UNIT}")
    if of.get("UnitFileState") == "disabled":
        return warning("service", f"{UNIT} runs, and will not after a restart", f"sudo systemctl enable {UNIT}")
    return ok("service", f"{UNIT} runs")
