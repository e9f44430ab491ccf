"""A board as a User-Mode Linux process: no root, no KVM, no image; ready in about a second."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from board import cache
from board.machine import INIT, INTERPRETER, SEARCH_PATH, Started, Wanted

BUFFER = 1 << 20
"""Bytes that the network holds between guest and helper: a burst of a few hundred frames."""


@dataclass(frozen=True, slots=True)
class DiskCache:
    """What the disk does with what it has not been asked to flush (`kernel/volatile_cache.c`).

    Args:
        evict: sectors written back early after each write, in random order.
        lie: flushes are acknowledged and not done.
        seed: chooses the sectors.
    """

    evict: int = 0
    lie: bool = False
    seed: int = 1


class Uml:
    """A `Backend`.

    Args:
        disk_cache: of the disk; None writes through.
        memory_mb: RAM.
    """

    interface, device = "vec0", "/dev/ubda"
    module = cache.MODULE

    def __init__(self, disk_cache: DiskCache | None = None, memory_mb: int = 256) -> None:
        self.disk_cache = disk_cache
        self._memory_mb = memory_mb
        self._slirp: subprocess.Popen[bytes] | None = None

    async def start(self, wanted: Wanted) -> Started:
        """See `Backend`."""
        ours, theirs = socket.socketpair()
        command = [
            str(cache.KERNEL),
            f"mem={self._memory_mb}M",
            *("rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1", "ssl=null"),
            f"ssl0=fd:{theirs.fileno()}",
            f"uml_dir={wanted.folder}",
            # From a thread: User-Mode Linux cannot begin anew in the middle of a timer's interrupt.
            "softdog.soft_reboot_cmd=reset",
            f"dtb={cache.DEVICE_TREE}",
            f"init={INTERPRETER}",
        ]
        inherited = [theirs]
        if wanted.network:
            inherited.append(self._network())
            command.append(f"vec0:transport=fd,fd={inherited[-1].fileno()},vec=0")
        if wanted.disk is not None:
            # Without a lock (c): a reset leaves the host's process of a program that has just ended, and the lock with
            # it, when a thread of the kernel has borrowed its address space.
            command.append(f"ubd0c={wanted.disk}")
        process = await asyncio.create_subprocess_exec(
            *(*command, "--", "-I", "-S", str(INIT), "/dev/ttyS0", SEARCH_PATH),
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | self._cache(wanted.disk),
            pass_fds=[end.fileno() for end in inherited],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        for end in inherited:
            end.close()
        return Started(process, ours)

    async def cable(self, plugged: bool) -> None:
        """See `Backend`. A helper that stands still answers nothing and loses nothing but time."""
        assert self._slirp is not None
        self._slirp.send_signal(signal.SIGCONT if plugged else signal.SIGSTOP)

    async def stopped(self) -> None:
        """See `Backend`."""
        if self._slirp is not None:
            self._slirp.kill()
            self._slirp.wait()
            self._slirp = None

    def _network(self) -> socket.socket:
        """The guest's end of a network that libslirp keeps: the host's 127.0.0.1 is 10.0.2.2 there."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        helper = shutil.which("libslirp-helper")
        assert helper is not None, "libslirp-helper is missing; type: sudo apt-get install libslirp-helper"
        self._slirp = subprocess.Popen([helper, "--fd", str(ours.fileno())], pass_fds=[ours.fileno()])
        ours.close()
        return theirs

    def _cache(self, disk: Path | None) -> dict[str, str]:
        kept = self.disk_cache
        if disk is None or kept is None:
            return {}
        return {
            "LD_PRELOAD": str(cache.VOLATILE_CACHE),
            "BOARD_DISK": str(disk),
            "BOARD_EVICT": str(kept.evict),
            "BOARD_LIE": str(int(kept.lie)),
            "BOARD_SEED": str(kept.seed),
        }
