"""The configuration files of the demo's two agents."""

from pathlib import Path

from wayside_firmware.board.config import simulated_board

BOARD = "demo-board"
HOST = "demo-host"
HURRY = 60.0
"""A minute of the demo is an hour of weather, so that the chart has something to show."""

_COMMON = """# Written by `wayside demo`; `wayside-edge enroll` adds [uplink].
[batch]
max_age_s = 1.0

[outbox]
path = "{outbox}"
quota_mb = 64
free_disk_floor_mb = 32
ballast_mb = 1

[clock]
# Containers do not tell whether a time service runs.
trust_system = true
"""
_HOST = """
[[sensor]]
name = "host"
kind = "host"
"""


def configuration(device: str, folder: Path) -> str:
    """The agent's TOML file, without `[uplink]`.

    Args:
        device: BOARD or HOST.
        folder: holds the agent's outbox.
    """
    sensors = _HOST if device == HOST else "\n" + simulated_board(places=4, hurry=HURRY)
    return _COMMON.format(outbox=folder / "outbox.db") + sensors
