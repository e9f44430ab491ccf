"""The commands of the how-to pages that install something do so, into an environment that has nothing."""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from wayside_shared.runtimes import install_command

REPOSITORY = Path(__file__).parents[2]
LOCKS = sorted((REPOSITORY / "requirements").glob("*.lock"))
OFFLINE = ("Failed to fetch", "error sending request", "Could not connect")


def _commands() -> set[str]:
    """What follows `pip install` and reads a lock file, on every page and in the scripts that set up a tree."""
    found = {install_command().partition(" pip ")[2].removeprefix("install ")}
    found |= {"--no-deps --require-hashes -r requirements/all.lock"}  # scripts/bootstrap.sh
    found |= {"--require-hashes -r requirements/node.lock"}  # scripts/console.sh
    found |= {"--require-hashes -r requirements/installer.lock"}  # server/wayside_server/packages/install.sh
    for page in (REPOSITORY / "docs").rglob("*.md"):
        found |= set(re.findall(r"pip install ([^\n`]*-r requirements/\w+\.lock)", page.read_text()))
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


@pytest.mark.parametrize("arguments", sorted(_commands(), key=str.split))
def test_a_lock_file_installs_as_documented(arguments: str, empty: Path) -> None:
    uv = shutil.which("uv", path=Path(sys.executable).parent)
    assert uv is not None
    command = [uv, "pip", "install", "--dry-run", "--python", str(empty), *arguments.split()]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=110)
    if any(each in done.stderr for each in OFFLINE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


def test_every_lock_file_has_a_documented_command() -> None:
    named = {Path(each.split()[-1]).name for each in _commands()}
    assert named == {each.name for each in LOCKS}


def test_no_page_has_an_index_serve_wayside() -> None:
    for page in (REPOSITORY / "docs").rglob("*.md"):
        assert "pip install 'wayside" not in page.read_text(), page
