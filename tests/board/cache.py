"""Where the board's kernel lies once it is built (`kernel/build.sh`), outside of the tree: it outlives a clone."""

import os
from pathlib import Path

FOLDER = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wayside" / "board"
"""Also named in scripts/board.sh."""
KERNEL, MODULE, DEVICE_TREE = FOLDER / "linux", FOLDER / "vboard.ko", FOLDER / "pi.dtb"
VOLATILE_CACHE = FOLDER / "volatile_cache.so"
STOCK = FOLDER / "stock"
"""Debian's own kernel for QEMU, with its first root and its build of the module (`kernel/stock.py`)."""
