"""What the host may ask of the board as a computer: modules, disks, network, clock, programs."""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SIOCADDRT, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFNETMASK = 0x890B, 0x8916, 0x8914, 0x891C
IFF_UP, IFF_RUNNING = 0x1, 0x40
RTF_UP, RTF_GATEWAY = 0x1, 0x2
WDIOC_SETTIMEOUT = 0xC0045706
FINIT_MODULE = {"x86_64": 313, "aarch64": 273}
ADDRESS, MASK, GATEWAY = "10.0.2.15", "255.255.255.0", "10.0.2.2"
"""What libslirp gives a guest."""

_libc = ctypes.CDLL(None, use_errno=True)
_programs: dict[int, subprocess.Popen[bytes]] = {}


def load_module(path: str, options: str = "") -> None:
    """finit_module(2); a module that is there already is well."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if _libc.syscall(FINIT_MODULE[os.uname().machine], handle, options.encode(), 0):
            _raise(path, errno.EEXIST)
    finally:
        os.close(handle)


def mount(device: str, folder: str) -> None:
    """An ext4 file system, at `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    if _libc.mount(device.encode(), folder.encode(), b"ext4", 0, b""):
        _raise(device)


def network(interface: str) -> None:
    """Bring the loopback and `interface` up, as libslirp wants it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        _flags(control, "lo")
        fcntl.ioctl(control, SIOCSIFADDR, _request(interface, _address(ADDRESS)))
        fcntl.ioctl(control, SIOCSIFNETMASK, _request(interface, _address(MASK)))
        _flags(control, interface)
        route = struct.pack(
            "Q16s16s16sHhQQhQQQQH6x",
            *(0, _address("0.0.0.0"), _address(GATEWAY), _address("0.0.0.0")),
            *(RTF_UP | RTF_GATEWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        )
        fcntl.ioctl(control, SIOCADDRT, route)


def set_clock(seconds: float) -> None:
    """Set the wall clock to `seconds` since 1970."""
    time.clock_settime(time.CLOCK_REALTIME, seconds)


def write(path: str, text: str) -> None:
    """Put `text` into the file `path`, or into a kernel's attribute."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def read(pattern: str) -> dict[str, str]:
    """The texts of the files that match the absolute `pattern`, by path."""
    return {str(path): path.read_text().strip() for path in sorted(Path("/").glob(pattern.removeprefix("/")))}


def appears(pattern: str, within_s: float) -> None:
    """Return when a file matches.

    Raises:
        TimeoutError: none does in time.
    """
    until_s = time.monotonic() + within_s
    while not links(pattern):
        if time.monotonic() > until_s:
            raise TimeoutError(f"no {pattern} in {within_s} s")
        time.sleep(0.02)


def links(pattern: str) -> dict[str, str]:
    """Where the symbolic links that match lead, by path; other files as themselves."""
    return {str(path): str(path.resolve()) for path in sorted(Path("/").glob(pattern.removeprefix("/")))}


def start(command: Sequence[str], log: str, environment: Mapping[str, str] | None = None) -> int:
    """Start a program; its process id."""
    with Path(log).open("ab") as output:
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/run",
            env={**os.environ, **(environment or {})},
        )
    _programs[program.pid] = program
    return program.pid


def stop(pid: int, within_s: float) -> int:
    """SIGTERM to a program that `start` started, and its exit status."""
    program = _programs.pop(pid)
    program.send_signal(signal.SIGTERM)
    return program.wait(within_s)


def send(pid: int, number: int) -> None:
    """A signal to a program."""
    os.kill(pid, number)


def feed_watchdog_once(within_s: int) -> None:
    """Open the watchdog, feed it and never again."""
    handle = os.open("/dev/watchdog", os.O_WRONLY)
    fcntl.ioctl(handle, WDIOC_SETTIMEOUT, struct.pack("i", within_s))
    os.write(handle, b"\0")


def _raise(what: str, *allowed: int) -> None:
    number = ctypes.get_errno()
    if number not in allowed:
        raise OSError(number, os.strerror(number), what)


def _address(text: str) -> bytes:
    return struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def _request(interface: str, payload: bytes) -> bytes:
    return struct.pack("16s16s8x", interface.encode(), payload)


def _flags(control: socket.socket, interface: str) -> None:
    fcntl.ioctl(control, SIOCSIFFLAGS, _request(interface, struct.pack("H14x", IFF_UP | IFF_RUNNING)))
