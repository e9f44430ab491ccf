"""A board under QEMU, on the kernel that Debian ships: slower, but with a hardware watchdog and nobody's kernel but
the distribution's. It interprets (TCG), so it needs no KVM and no root."""

import asyncio
import json
import shutil
import socket
import subprocess
from pathlib import Path

from board import cache
from board.machine import INIT, INTERPRETER, SEARCH_PATH, Started, Wanted

PROGRAM = shutil.which("qemu-system-x86_64")
TERMINAL = "/dev/ttyS1"
CONNECT_S = 60.0


class Qemu:
    """A `Backend`, with an Intel 6300ESB watchdog that resets the machine.

    Args:
        memory_mb: RAM.
    """

    interface, device = "eth0", "/dev/vda"
    module = cache.STOCK / "vboard.ko"

    def __init__(self, memory_mb: int = 384) -> None:
        self._memory_mb = memory_mb
        self._monitor = Path()

    async def start(self, wanted: Wanted) -> Started:
        """See `Backend`."""
        assert PROGRAM is not None, "QEMU is missing; type: sudo apt-get install qemu-system-x86 kmod"
        control, self._monitor = wanted.folder / "control", wanted.folder / "monitor"
        words = {"init": INTERPRETER, "script": INIT, "terminal": TERMINAL, "path": SEARCH_PATH}
        command_line = ["console=ttyS0", "quiet", "panic=1", *(f"board_{name}={word}" for name, word in words.items())]
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(control))
            listening.listen(1)
            listening.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *(PROGRAM, "-M", "q35", "-accel", "tcg", "-cpu", "Nehalem", "-m", str(self._memory_mb)),
                *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"),
                *("-chardev", f"socket,id=control,path={control}", "-serial", "chardev:control"),
                *("-kernel", str(cache.STOCK / "vmlinux"), "-initrd", str(cache.STOCK / "initramfs.cpio")),
                *("-append", " ".join(command_line)),
                *("-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"),
                *("-device", "virtio-9p-pci,fsdev=root,mount_tag=root"),
                *("-device", "i6300esb", "-action", "watchdog=reset"),
                *("-qmp", f"unix:{self._monitor},server=on,wait=off"),
                *self._network(wanted),
                *self._disk(wanted),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            async with asyncio.timeout(CONNECT_S):
                ours, _ = await asyncio.get_running_loop().sock_accept(listening)
        control.unlink()
        return Started(process, ours)

    async def cable(self, plugged: bool) -> None:
        """See `Backend`."""
        reader, writer = await asyncio.open_unix_connection(self._monitor)
        for command, arguments in (("qmp_capabilities", {}), ("set_link", {"name": "network", "up": plugged})):
            await reader.readline()
            writer.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        answer = json.loads(await reader.readline())
        writer.close()
        assert "return" in answer, answer

    async def stopped(self) -> None:
        """See `Backend`."""

    def _network(self, wanted: Wanted) -> list[str]:
        if not wanted.network:
            return []
        return ["-netdev", "user,id=network", "-device", "virtio-net-pci,netdev=network,romfile="]

    def _disk(self, wanted: Wanted) -> list[str]:
        return [] if wanted.disk is None else ["-drive", f"file={wanted.disk},format=raw,if=virtio,cache=none"]
