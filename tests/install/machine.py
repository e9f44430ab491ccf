"""Debian systems to install boards in: one that systemd boots, and one of another processor under emulation."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wayside" / "install"
BOOT_DEADLINE_S = 60.0
STOP_DEADLINE_S = 30.0
RUN_DEADLINE_S = 300.0
"""An installation under emulation takes a minute on an idle machine."""
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def root(architecture: str) -> Path:
    """The system that scripts/debian_roots.sh has made for this architecture."""
    return CACHE / f"bookworm-{architecture}"


class Debian:
    """A system of its own; what happens in it is gone with `folder`.

    Args:
        folder: where its changes and what it shares with the tests go; `folder / "shared"` is /shared in it.
        prefix: words before a command that run it within.
        outside: the same, but in the network of the tests.
    """

    def __init__(self, folder: Path, prefix: Sequence[str], outside: Sequence[str]) -> None:
        self.shared = folder / "shared"
        self._prefix = prefix
        self._outside = outside

    def run(self, script: str, *, network: bool = False) -> subprocess.CompletedProcess[str]:
        """What the shell `script` says there as root; standard error goes with standard output.

        Args:
            network: reach the test's network from a system that has none.
        """
        prefix = self._outside if network else self._prefix
        words = [*prefix, "env", "-i", PATH, "HOME=/root", "TERM=dumb", "sh", "-c", script]
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_DEADLINE_S,
            check=False,
        )

    def must(self, script: str, *, network: bool = False) -> str:
        """The same of a script that succeeds."""
        ended = self.run(script, network=network)
        assert ended.returncode == 0, f"{script}\n{ended.stdout}"
        return ended.stdout.strip()


def _mounted(folder: Path, architecture: str) -> str:
    """Shell that mounts the system at `folder / root`, in a namespace whose end unmounts it."""
    for name in ("changes", "work", "root", "shared"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={root(architecture)},upperdir={folder}/changes,workdir={folder}/work"
    return f"mount -t overlay -o {layers} overlay {folder}/root && mkdir -p {folder}/root/shared"


@contextmanager
def booted(folder: Path, *, network: bool = True) -> Iterator[Debian]:
    """A system that systemd runs, while the block runs.

    Args:
        folder: an empty folder for it.
        network: whether it has the test's network; one without has none.
    """
    private = [] if network else ["--private-network"]
    nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--console=pipe", "--boot", *private]
    nspawn += [f"--machine=board-{os.getpid()}", f"--directory={folder}/root", f"--bind={folder}/shared:/shared"]
    script = f'{_mounted(folder, "amd64")} && exec "$@"'
    with (folder / "console.log").open("wb") as console:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script, "sh", *nspawn],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    try:
        enter = ["nsenter", "-t", str(_init_of(process)), "-m", "-u", "-i", "-p", "-C", "-r", "-w"]
        debian = Debian(folder, [*enter, "-n", "--"], [*enter, "--"])
        # The bus comes up a moment after systemd.
        debian.must("until systemctl is-system-running --wait 2>/dev/null | grep -q -e running -e degraded; do :; done")
        yield debian
    finally:
        process.terminate()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE_S)


def _init_of(process: "subprocess.Popen[bytes]") -> int:
    """The process of systemd-nspawn that is number 1 within."""
    outer = psutil.Process(process.pid)
    deadline = time.monotonic() + BOOT_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        for child in outer.children():
            # Those that set the system up come and go.
            with suppress(psutil.NoSuchProcess):
                if child.name() == "systemd":
                    return child.pid
    raise AssertionError(f"the system did not boot: {process.poll()}")


def plain(folder: Path, architecture: str) -> Debian:
    """A system without systemd running: each command has its namespace, what it changes stays in `folder`."""
    place = f"{folder}/root"
    script = (
        f"{_mounted(folder, architecture)} && mount --bind {folder}/shared {place}/shared"
        f" && mount -t proc proc {place}/proc && mount --rbind /dev {place}/dev"
        f' && exec chroot {place} "$@"'
    )
    prefix = ["unshare", "-m", "sh", "-c", script, "sh"]
    return Debian(folder, prefix, prefix)
