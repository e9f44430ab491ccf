"""Making what was written unreadable, as far as a file system lets a program do that.

On flash (SD cards, eMMC, SSDs) the drive writes what overwrites to other cells, and a file system that copies on
write, or keeps a journal of data, does the like: the old bytes then stay until the drive reuses them. Only a token or
an encrypted disk makes sure; `wayside-edge reset` says so.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_BLOCK: Final = 64 * 1024


def wipe_file(path: Path) -> None:
    """Overwrite `path` with zeros and remove it; of a link only the link is removed. What is not there is well.

    Raises:
        OSError: it cannot be written or removed.
    """
    if not path.is_symlink() and path.is_file():
        with path.open("r+b", buffering=0) as file:
            left = file.seek(0, os.SEEK_END)
            file.seek(0)
            while left > 0:
                left -= file.write(bytes(min(left, _BLOCK)))
            os.fsync(file.fileno())
    with suppress(FileNotFoundError):
        path.unlink()


def wipe_folder(folder: Path) -> None:
    """`wipe_file` everything below `folder`, and remove the folder.

    Raises:
        OSError: something in it cannot be written or removed.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            wipe_folder(path)
        else:
            wipe_file(path)
    folder.rmdir()
