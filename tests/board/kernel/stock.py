"""Makes Debian's own kernel ready for QEMU: `python stock.py FOLDER`. Needs no root, installs nothing.

The packages are downloaded and unpacked; the board's module is built against their headers. The kernel is taken out of
its compressed image, because QEMU starts it directly, which saves seconds where it interprets. Idempotent.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).resolve().parent
MODULES = (
    *("virtio_pci", "virtio_blk", "virtio_net", "9pnet_virtio", "9p", "overlay", "crc32c_generic", "ext4"),
    *("i2c_dev", "i6300esb"),
)
"""What the guest needs before and besides its root."""
INIT = """#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro root /new
mount --move /proc /new/proc; mount --move /sys /new/sys; mount --move /dev /new/dev
cd /new; mount --move /new /
exec chroot . $board_init -I -S $board_script $board_terminal $board_path
"""
COMPRESSIONS = (
    (b"\xfd7zXZ\0", ("xz", "-dc", "--single-stream")),
    (b"\x28\xb5\x2f\xfd", ("zstd", "-dc")),
    (b"\x02\x21\x4c\x18", ("lz4", "-dc")),
)


def run(*command: str, folder: Path | None = None) -> str:
    """The output of a command.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


def unpack(package: str, folder: Path) -> None:
    """Download a package and unpack it into `folder`."""
    run("apt-get", "-qq", "download", package, folder=folder)
    for file in folder.glob("*.deb"):
        run("dpkg", "-x", str(file), str(folder))
        file.unlink()


def take_kernel(image: bytes) -> bytes:
    """The ELF file within a compressed kernel image."""
    for magic, command in COMPRESSIONS:
        for found in re.finditer(re.escape(magic), image):
            kernel = subprocess.run(command, input=image[found.start() :], capture_output=True, check=False).stdout
            if kernel.startswith(b"\x7fELF"):
                return kernel
    raise SystemExit("there is no kernel in its image")


def module_files(folder: Path) -> Iterator[Path]:
    """The files of `MODULES` and of what they need, in the order of loading."""
    files: dict[str, list[str]] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        file, _, needed = line.partition(":")
        files[Path(file).name.partition(".")[0].replace("-", "_")] = [*reversed(needed.split()), file]
    seen = dict.fromkeys(file for name in MODULES for file in files.get(name, []))  # absent: built in
    return (folder / file for file in seen)


class Cpio:
    """An archive as the kernel takes it for its first root (Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inodes = 0

    def add(self, name: str, data: bytes = b"", mode: int = 0o100644, device: tuple[int, int] = (0, 0)) -> None:
        """One entry."""
        self._inodes += 1
        path = name.encode() + b"\0"
        fields = (self._inodes, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self._file.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


def write_root(path: Path, work: Path, release: str) -> None:
    """The first root: busybox, modules and `INIT`."""
    with path.open("wb") as file:
        archive = Cpio(file)
        for folder in ("bin", "dev", "proc", "sys", "modules", "new"):
            archive.add(folder, mode=0o040755)
        archive.add("dev/console", mode=0o020600, device=(5, 1))
        archive.add("bin/busybox", (work / "bin/busybox").read_bytes(), 0o100755)
        archive.add("bin/sh", b"busybox", 0o120777)
        archive.add("init", INIT.encode(), 0o100755)
        for number, module in enumerate(module_files(work / "lib/modules" / release)):
            archive.add(f"modules/{number:03}-{module.name}", module.read_bytes())
        archive.add("TRAILER!!!")


def build_module(work: Path, release: str, to: Path) -> None:
    """The board's module for the kernel `release`."""
    headers = work / "usr/src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{work}/usr/src/"))
    shutil.copytree(HERE / "module", work / "module")
    run("make", "-s", "-C", str(headers), f"M={work / 'module'}", "modules")
    run("strip", "--strip-debug", "-o", str(to), str(work / "module/vboard.ko"))


def main(folder: Path) -> None:
    """Fill `folder` with vmlinux, initramfs.cpio and vboard.ko, unless they are there and current."""
    found = re.search(r"linux-image-(\S+)-amd64\b", run("apt-cache", "depends", "linux-image-amd64"))
    if found is None:
        raise SystemExit("apt knows no linux-image-amd64")
    release = f"{found[1]}-amd64"
    sources = [Path(__file__), *sorted((HERE / "module").iterdir())]
    stamp = hashlib.sha256(release.encode() + b"".join(file.read_bytes() for file in sources)).hexdigest()
    if (folder / "stamp").exists() and (folder / "stamp").read_text() == stamp:
        return
    print("wayside: fetching Debian's kernel for QEMU (about 20 seconds, once)", flush=True)
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    common = f"linux-headers-{found[1]}-common"
    for package in (f"linux-image-{release}", f"linux-headers-{release}", common, "linux-kbuild-6.1", "busybox-static"):
        unpack(package, work)
    (folder / "vmlinux").write_bytes(take_kernel((work / f"boot/vmlinuz-{release}").read_bytes()))
    run("depmod", "-b", str(work), release)
    build_module(work, release, folder / "vboard.ko")
    write_root(folder / "initramfs.cpio", work, release)
    shutil.rmtree(work)
    (folder / "stamp").write_text(stamp)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
