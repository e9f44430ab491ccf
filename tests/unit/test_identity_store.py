"""Key, certificate and CA match after a power cut at any moment (row 11)."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge.errors import ConfigError, TransientError
from wayside_edge.identity.store import Contents, Files, IdentityStore
from wayside_shared.renewal import Life


class PowerCutError(Exception):
    pass


def contents(name: str) -> Contents:
    return Contents(
        f"ca of {name}".encode(), f"chain of {name}".encode(), f"key of {name}".encode(), Life(len(name), 1, 2)
    )


def files_in(folder: Path) -> Files:
    return Files(folder / "ca.pem", folder / "device.pem", folder / "device.key")


def read(files: Files) -> str:
    """Whose the three files are."""
    names = {path.read_text().split(" of ")[1] for path in files.each()}
    assert len(names) == 1, f"of several: {names}"
    return names.pop()


def cut_after(steps: int) -> Callable[[], None]:
    left = [steps]

    def step() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerCutError

    return step


def loose(folder: Path) -> None:
    """Files as an agent before this one, or a person, left them."""
    for path, text in zip(files_in(folder).each(), ("ca", "chain", "key"), strict=True):
        path.write_text(f"{text} of first")


Change = Callable[[IdentityStore], None]
CHANGES: dict[str, Change] = {
    "stage": lambda store: store.stage(contents("third")),
    "promote": lambda store: store.promote(),
    "install": lambda store: store.install(contents("third")),
    "discard": lambda store: store.discard(),
    "roll back": lambda store: store.roll_back(),
    "drop": lambda store: store.drop_old(),
}


@pytest.mark.parametrize("began", ["loose", "renewed before"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_power_cut_at_any_step_leaves_three_that_match_row_11(tmp_path: Path, began: str, change: str) -> None:
    for steps in range(60):
        folder = tmp_path / str(steps)
        folder.mkdir()
        files = files_in(folder)
        store = IdentityStore(files)
        if began == "loose":
            loose(folder)
        else:
            store.install(contents("first"))
            store.stage(contents("second"))
            store.promote()
        store.stage(contents("next"))
        try:
            CHANGES[change](IdentityStore(files, cut_after(steps)))
        except PowerCutError:
            ended = False
        else:
            ended = True
        again = IdentityStore(files)
        assert read(files) == read(again.present())
        for beside in (again.staged(), again.old()):
            assert beside is None or read(beside)
        again.stage(contents("later"))
        again.promote()
        assert read(files) == read(again.present()) == "later"
        again.drop_old()
        left = [path for path in (folder / "versions").iterdir() if not path.is_symlink()]
        assert len(left) <= (2 if change == "install" else 1)  # what an enrolment began is kept for the next one
        if ended:
            return
    pytest.fail("it never came to its end")


def test_a_version_is_promoted_kept_and_dropped(tmp_path: Path) -> None:
    files = files_in(tmp_path / "new folder")
    store = IdentityStore(files)
    store.install(contents("first"))
    assert (store.staged(), store.old()) == (None, None)
    store.stage(contents("second"))
    staged = store.staged()
    assert staged is not None
    assert (read(staged), read(files), store.life(staged)) == ("second", "first", Life(6, 1, 2))
    store.promote()
    old = store.old()
    assert old is not None
    assert (read(files), read(old), store.staged()) == ("second", "first", None)
    store.roll_back()
    assert (read(files), store.old()) == ("first", None)


def test_only_the_owner_reads_the_key_row_12(tmp_path: Path) -> None:
    files = files_in(tmp_path / "identity")
    store = IdentityStore(files)
    store.install(contents("first"))
    store.stage(contents("second"))
    found = [path for path in tmp_path.rglob("device.key") if not path.is_symlink()]
    assert len(found) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()} == {0o700}


def test_files_that_a_person_put_over_count(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    store = IdentityStore(files)
    store.install(contents("old"))
    for path in files.each():
        path.unlink()
    loose(tmp_path)
    assert read(store.present()) == "first"
    store.stage(contents("second"))
    store.promote()
    assert read(files) == "second"
    store.roll_back()
    assert read(files) == "first"


@pytest.mark.parametrize(
    "files",
    [
        Files(Path("/a/ca.pem"), Path("/b/device.pem"), Path("/b/device.key")),
        Files(Path("/a/x.pem"), Path("/a/x.pem"), Path("/a/device.key")),
    ],
)
def test_files_that_cannot_be_swapped_together_are_told(files: Files) -> None:
    with pytest.raises(ConfigError, match="three files in one folder"):
        IdentityStore(files)


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("in the way")
    loose(tmp_path)
    store = IdentityStore(files_in(tmp_path))
    with pytest.raises(TransientError, match="let the agent's user write"):
        store.stage(contents("second"))
    assert read(store.present()) == "first"
