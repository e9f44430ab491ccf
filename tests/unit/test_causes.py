"""What a start knows of the run before it."""

import json
from pathlib import Path

import pytest

from wayside_edge.hal.watchdog import reset_causes
from wayside_edge.health.causes import RunRecord, State

BOOT, LATER = "0" * 32, "1" * 32


def begun(path: Path, boot_id: str = BOOT) -> RunRecord:
    record = RunRecord(path)
    record.begin(boot_id, [])
    return record


def next_start(path: Path, boot_id: str = BOOT, resets: tuple[str, ...] = ()) -> tuple[str, bool]:
    record = RunRecord(path)
    ending = record.begin(boot_id, resets)
    record.close()
    assert ending is not None
    return ending.text, ending.clean


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.run"


def test_a_first_start_has_nothing_to_say(path: Path) -> None:
    record = RunRecord(path)
    assert record.begin(BOOT, []) is None
    record.close()


def test_a_stop_is_told_from_a_kill(path: Path) -> None:
    record = begun(path)
    record.stopped()
    record.close()
    assert next_start(path) == ("stopped", True)
    assert next_start(path) == ("killed: it ended without a word", False)


def test_a_crash_and_a_hang_say_why_and_where_the_stacks_are(path: Path) -> None:
    record = begun(path)
    record.crashed("ValueError: odd")
    record.close()
    assert next_start(path) == ("crashed: ValueError: odd", False)
    record = begun(path)
    assert record.stacks is not None
    record.stacks.write(b"stacks")
    record.hung("the event loop has shown no life for 15 s")
    record.close()
    text, clean = next_start(path)
    assert not clean
    kept = path.with_suffix(".stacks.last")
    assert text == f"hung: the event loop has shown no life for 15 s; stacks of its threads are in {kept}"
    assert kept.read_bytes() == b"stacks"


def test_what_hung_and_came_back_is_as_if_it_had_not(path: Path) -> None:
    record = begun(path)
    record.hung("slow disk")
    record.back()
    record.close()
    assert next_start(path)[0].startswith("killed")


def test_runs_of_one_boot_that_hang_in_a_row_are_counted(path: Path) -> None:
    for count in (1, 2, 3):
        record = begun(path)
        record.hung("loop")
        record.close()
        assert record.hangs == count
    record = begun(path, LATER)
    assert record.hangs == 0
    record.close()


@pytest.mark.parametrize(
    ("state", "resets", "text", "clean"),
    [
        (State.STOPPED, (), "rebooted after a clean stop", True),
        (State.RUNNING, (), "rebooted or power was cut while the agent ran", False),
        (
            State.RUNNING,
            ("the watchdog reset the board",),
            "rebooted or power was cut while the agent ran (the watchdog reset the board)",
            False,
        ),
        (
            State.HUNG,
            ("the watchdog reset the board", "the supply was bad"),
            "rebooted after the agent hung: loop (the watchdog reset the board; the supply was bad)",
            False,
        ),
    ],
)
def test_another_boot(path: Path, state: State, resets: tuple[str, ...], text: str, clean: bool) -> None:
    record = begun(path)
    if state is State.STOPPED:
        record.stopped()
    elif state is State.HUNG:
        record.hung("loop")
    record.close()
    assert next_start(path, LATER, resets) == (text, clean)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"[" * 60_000,
        b"{}",
        b'{"version": 1, "boot_id": "a", "state": "odd", "why": "", "hangs": 0}',
        b'{"version": 1, "boot_id": "a", "state": "hung", "why": "", "hangs": "many"}',
        b'{"version": 2, "boot_id": "a", "state": "hung", "why": "", "hangs": 0}',
        b"[1]",
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_said_and_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert next_start(path) == ("unknown: the record of the run before is damaged", False)
    assert json.loads(path.read_bytes())["state"] == "running"


def test_a_folder_in_its_place_is_no_reason_to_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "outbox.run").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        RunRecord(tmp_path / "outbox.run").begin(BOOT, [])


def test_a_disk_that_is_away_keeps_no_run_from_ending(path: Path) -> None:
    record = begun(path)
    path.unlink()
    path.with_name("outbox.run.new").mkdir()
    record.stopped()
    record.close()


def test_reset_causes_are_read_without_holding_a_watchdog(tmp_path: Path) -> None:
    assert reset_causes(tmp_path) == []
    folder = tmp_path / "sys/class/watchdog/watchdog0"
    folder.mkdir(parents=True)
    (folder / "bootstatus").write_text("32\n")
    other = tmp_path / "sys/class/watchdog/watchdog1"
    other.mkdir()
    (other / "bootstatus").write_text("odd")
    pstore = tmp_path / "sys/fs/pstore"
    pstore.mkdir(parents=True)
    (pstore / "dmesg-ramoops-0").write_text("Panic#1 Part1")
    assert reset_causes(tmp_path) == [
        "the watchdog reset the board",
        "the kernel left a crash report in /sys/fs/pstore (dmesg-ramoops-0)",
    ]
