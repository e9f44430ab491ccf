"""Settings of the outbox."""

from dataclasses import dataclass
from pathlib import Path

from wayside_shared.settings import setting

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OutboxSettings:
    """`[outbox]`."""

    path: Path = setting(
        "SQLite file that holds samples until the server has them.", Path("/var/lib/wayside/outbox.db")
    )
    quota_mb: int = setting(
        "Bytes it may take, in MiB; when full, the oldest batches are given up, declared.", 512, minimum=8
    )
    free_disk_floor_mb: int = setting("Free space to leave on its file system, in MiB.", 256, minimum=0)
    ballast_mb: int = setting("Space set aside in MiB, released only to drain a full disk.", 4, minimum=0, maximum=64)
    tail_hours: float = setting("How long delivered batches stay for a replay, in hours.", 48.0, minimum=0.0)
    tail_share: float = setting(
        "Largest share of the quota that the delivered ones may take.", 0.2, minimum=0.0, maximum=0.9
    )
