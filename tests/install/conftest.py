"""One server for all tests of installation."""

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from install.machine import root
from install.site import Site, serving


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A server with the packages for every system that the tests install."""
    assert root("amd64").with_suffix(".made").exists(), "there is no system to install in; type: make test-install"
    targets = [platform.machine()] + (["aarch64"] if root("arm64").with_suffix(".made").exists() else [])
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder, serving(Path(folder), targets) as started:
        yield started
