"""`wayside demo` as a person types it: it proves its account, survives kills, and leaves nothing behind."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import urlsplit

import psutil
import pytest

START_S = 60.0
END_S = 30.0
POLL_S = 0.05


class Demo:
    """A running demo whose lines can be waited for."""

    def __init__(self, *arguments: str) -> None:
        command = [Path(sys.executable).with_name("wayside"), "demo", *arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.lines: list[str] = []
        self.seen: set[psutil.Process] = set()
        """Every process below it at the times of the lines that were waited for."""
        self._arriving: Queue[str] = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._arriving.put(line.rstrip("\n"))

    def line(self, pattern: str, timeout_s: float = START_S) -> re.Match[str]:
        """The next line that has `pattern`."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.lines.append(self._arriving.get(timeout=max(0.0, deadline - time.monotonic())))
            except Empty:
                raise AssertionError(f"no line with {pattern!r} in {self.lines}") from None
            if found := re.search(pattern, self.lines[-1]):
                with suppress(psutil.NoSuchProcess):
                    self.seen.update(psutil.Process(self.process.pid).children(recursive=True))
                return found

    def end(self) -> int:
        """Its exit status; all it said is in `lines` afterwards."""
        status = self.process.wait(START_S)
        self._reader.join(END_S)
        while not self._arriving.empty():
            self.lines.append(self._arriving.get())
        return status

    def part(self, *words: str) -> psutil.Process:
        """The child with all `words` in its command line."""
        parts = psutil.Process(self.process.pid).children()
        return next(part for part in parts if all(word in " ".join(part.cmdline()) for word in words))


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def begin(*arguments: str) -> Demo:
        started.append(Demo(*arguments))
        return started[-1]

    yield begin
    for demo in started:
        if demo.process.poll() is None:
            demo.process.terminate()
        demo.end()


def alive(demo: Demo) -> list[psutil.Process]:
    """Those of `demo.seen` that run; what init has yet to reap does not."""
    found = []
    for process in demo.seen:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def assert_gone(demo: Demo, folder: str) -> None:
    assert alive(demo) == []
    assert not Path(folder).exists()


def assert_proven(demo: Demo) -> dict[str, object]:
    assert demo.end() == 0, demo.lines
    figures: dict[str, object] = json.loads(demo.lines[-1])
    stored = figures["stored"]
    assert isinstance(stored, int)
    assert f"Account: accepted {stored:,}, stored {stored:,}, dropped 0, missing 0, duplicates 0." in demo.lines
    assert stored > 0
    same = ("accepted", "database_rows", "export_csv_rows", "export_json_rows")
    assert {name: figures[name] for name in same} == dict.fromkeys(same, stored)
    none = ("missing", "duplicates", "dropped", "rejected", "pending")
    assert {name: figures[name] for name in none} == dict.fromkeys(none, 0)
    assert figures["devices"] == 2
    return figures


def test_two_demos_side_by_side_prove_their_accounts_and_leave_nothing(start: Callable[..., Demo]) -> None:
    demos = [start("--for", "12", "--json"), start("--for", "12", "--json")]
    folders = [demo.line(r"Wayside demo in (\S+)")[1] for demo in demos]
    for demo in demos:
        console = demo.line(r"Console +(\S+)/login/")[1]
        again = demo.line("For another link: (.+)")[1]
        assert subprocess.run(shlex.split(again), check=True, capture_output=True, text=True).stdout.startswith(console)
        demo.line("Ends by itself")
        # ingest, API, jobs and PostgreSQL's own processes too
        assert len(demo.seen) > 8
    for demo, folder in zip(demos, folders, strict=True):
        figures = assert_proven(demo)
        assert_gone(demo, folder)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", urlsplit(str(figures["console"])).port))


def test_what_is_killed_is_started_again_and_nothing_is_lost(start: Callable[..., Demo]) -> None:
    demo = start("--json")
    folder = demo.line(r"Wayside demo in (\S+)")[1]
    demo.line("Ctrl-C ends it")
    for name, *words in (
        ("the agent of demo-board", "wayside_edge", "demo-board"),
        ("the broker", "mosquitto"),
        ("the server", "wayside_server"),
    ):
        demo.part(*words).kill()
        demo.line(f"{name} was killed by SIGKILL; starting it again")
    before = int(demo.line(r"stored ([\d,]+).*2 of 2 online")[1].replace(",", ""))
    while int(demo.line(r"stored ([\d,]+).*2 of 2 online")[1].replace(",", "")) == before:
        pass
    demo.process.send_signal(signal.SIGINT)
    assert_proven(demo)
    assert_gone(demo, folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_it_starts_leaves_nothing(start: Callable[..., Demo], number: signal.Signals) -> None:
    demo = start()
    folder = demo.line(r"Wayside demo in (\S+)")[1]
    demo.line("certificate authority made")
    demo.process.send_signal(number)
    assert demo.end() == 130
    assert demo.lines[-1] == "stopped; nothing is left running"
    assert_gone(demo, folder)


def test_a_killed_demo_takes_its_processes_with_it_and_the_next_one_its_folder(start: Callable[..., Demo]) -> None:
    demo = start()
    folder = demo.line(r"Wayside demo in (\S+)")[1]
    demo.line("first sample committed")
    demo.process.kill()
    assert demo.end() == -signal.SIGKILL
    deadline = time.monotonic() + END_S
    while (left := alive(demo)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    assert left == []
    assert Path(folder).is_dir()
    following = start()
    following.line(f"Removed {folder}, which a demo that was killed had left")
    assert not Path(folder).exists()
    following.line("certificate authority made")
    following.process.send_signal(signal.SIGINT)
    assert following.end() == 130


def test_a_folder_that_is_not_empty_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    command = [Path(sys.executable).with_name("wayside"), "demo", "--dir", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=START_S)
    assert (done.returncode, done.stderr) == (78, f"wayside: --dir {tmp_path} is not empty; name a new folder\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
