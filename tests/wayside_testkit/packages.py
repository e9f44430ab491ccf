"""Small wheels, and a server's folder of packages with some in it."""

import base64
import hashlib
import zipfile
from pathlib import Path

from wayside_server.identity.home import Home
from wayside_server.packages.fetch import OPTIONAL, described, publish
from wayside_server.packages.shelf import Manifest, Shelf


def make_wheel(folder: Path, name: str, version: str, tag: str = "py3-none-any") -> Path:
    """A wheel with one module, in `folder`; of wayside, the agent's package."""
    wheel = folder / f"{name}-{version}-{tag}.whl"
    module = "wayside_edge" if name == "wayside" else name
    info = f"{name}-{version}.dist-info"
    contents = {
        f"{module}/__init__.py": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = []
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in contents.items():
            archive.writestr(path, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(content)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return wheel


def fill(home: Path) -> Shelf:
    """The shelf of an installation in `home`, with pip and the agent on it, small ones."""
    shelf = Shelf(Home(home))
    shelf.files.mkdir(parents=True)
    wheels = [make_wheel(shelf.files, "pip", "1.0"), make_wheel(shelf.files, "wayside", "0.1.0")]
    files = tuple(described(wheel, own=wheel is wheels[1]) for wheel in wheels)
    targets = ("aarch64-3.11", "x86_64-3.11")
    publish(shelf, Manifest("0.1.0", wheels[0].name, (), targets, OPTIONAL, (), files))
    return shelf
