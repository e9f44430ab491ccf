"""Images of small disks for boards."""

import subprocess
from pathlib import Path

SIZE_MB = 64


def make_disk(path: Path) -> Path:
    """A new ext4 file system in the file `path`, with Debian's own defaults."""
    with path.open("wb") as file:
        file.truncate(SIZE_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(path)], check=True, capture_output=True)
    return path
