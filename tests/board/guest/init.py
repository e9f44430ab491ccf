"""PID 1 of the virtual board: makes its world, then does what the host asks.

Runs as `python -I -S init.py TERMINAL SEARCH_PATH`. The host's whole file system is the read-only lower layer, so the
project is at the same paths here; what the guest writes lands in memory and ends with it. One process does it all,
because starting one takes a tenth of a second on User-Mode Linux.

Host to guest, one JSON object a line: {"id", "call": "module:function", "arguments": {...}}.
Guest to host: {"hello": release} once a boot, then {"id", "result"} or {"id", "error", "kind"}.
"""

import ctypes
import importlib
import json
import os
import sys
import termios
import threading
import traceback
from pathlib import Path
from typing import Any

BIND, RECURSIVE = 0x1000, 0x4000
"""MS_BIND and MS_REC of mount(2)."""
NEW_ROOT = "/run/root"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LINE = 1024
"""Bytes of one write to the serial line: what its driver takes at once."""

libc = ctypes.CDLL(None, use_errno=True)


def mount(device: str, folder: str, kind: str, options: str = "", flags: int = 0) -> None:
    """mount(2), on a folder that is made where it is missing.

    Raises:
        OSError: the kernel refuses.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    if libc.mount(device.encode(), folder.encode(), kind.encode(), flags, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), folder)


def make_world() -> None:
    """Mount everything and move in."""
    for kind, folder in (("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/run")):
        if not os.path.ismount(folder):  # an initramfs may have been here before
            mount(kind, folder, kind)
    Path("/run/upper").mkdir()
    Path("/run/work").mkdir()
    mount("root", NEW_ROOT, "overlay", "lowerdir=/,upperdir=/run/upper,workdir=/run/work")
    for folder in ("/proc", "/sys", "/dev"):
        mount(folder, NEW_ROOT + folder, "none", flags=BIND | RECURSIVE)
    os.chdir(NEW_ROOT)
    os.chroot(".")
    for kind, folder, options in (
        ("tmpfs", "/run", ""),
        ("devpts", "/dev/pts", "ptmxmode=666"),
        ("tmpfs", "/dev/shm", "mode=1777"),
    ):
        mount(kind, folder, kind, options)
    os.chdir("/run")


class Line:
    """The host, at the other end of a serial line."""

    def __init__(self, terminal: str) -> None:
        self._handle = os.open(terminal, os.O_RDWR | os.O_NOCTTY)
        self._lock = threading.Lock()
        attributes = termios.tcgetattr(self._handle)
        attributes[0], attributes[3] = 0, 0
        attributes[1] &= ~termios.OPOST
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._handle, termios.TCSAFLUSH, attributes)

    def send(self, message: dict[str, Any]) -> None:
        """One message to the host."""
        data = json.dumps(message, default=str).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._handle, data[:LINE]) :]

    def serve(self) -> None:
        """Answer calls for ever, each in a thread of its own."""
        kept = b""
        while True:
            kept += os.read(self._handle, 65536)
            *lines, kept = kept.split(b"\n")
            for line in lines:
                if line.startswith(b"{"):  # a line that was cut by a reset is no call
                    threading.Thread(target=self._answer, args=(json.loads(line),), daemon=True).start()

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            module, _, function = message["call"].partition(":")
            result = getattr(importlib.import_module(module), function)(**message["arguments"])
        except BaseException as error:  # whatever it is belongs to the host
            traceback.print_exc()
            self.send({"id": message["id"], "error": str(error), "kind": type(error).__name__})
        else:
            self.send({"id": message["id"], "result": result})


def main() -> None:
    """Boot."""
    make_world()
    os.environ["PATH"] = PATH
    sys.path += [folder for folder in sys.argv[2].split(":") if folder not in sys.path]
    line = Line(sys.argv[1])
    line.send({"hello": os.uname().release})
    line.serve()


if __name__ == "__main__":
    main()
