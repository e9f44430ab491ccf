"""A PKCS#11 token in software (softhsm2), of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

from wayside_edge.identity.settings import TokenSettings

LABEL = "wayside test"
PIN = "314159"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


def missing() -> str:
    """What this machine lacks for tests with a token; empty when nothing."""
    if shutil.which("softhsm2-util") is None or not any(Path(module).exists() for module in MODULES):
        return "softhsm2 is not installed"
    engines = list(Path("/usr/lib").glob("*/engines-3/pkcs11.so"))
    return "" if engines else "libengine-pkcs11-openssl is not installed"


@pytest.fixture
def soft_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenSettings:
    """A fresh token without keys."""
    if missing():
        pytest.skip(missing())
    folder = tmp_path / "token"
    (folder / "objects").mkdir(parents=True)
    file = folder / "softhsm2.conf"
    file.write_text(f"directories.tokendir = {folder / 'objects'}\nobjectstore.backend = file\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(file))
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "271828"],
        check=True,
        capture_output=True,
    )
    pin_file = folder / "pin"
    pin_file.touch(0o600)
    pin_file.write_text(f"{PIN}\n")
    module = next(Path(module) for module in MODULES if Path(module).exists())
    return TokenSettings("pkcs11:token=wayside%20test;object=device", pin_file, module)
