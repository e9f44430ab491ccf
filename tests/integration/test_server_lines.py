"""A server that finds neither database nor broker says so once, waits, and goes on by itself when they come."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.server_side import Installation


@pytest.fixture
def made() -> Iterator[Installation]:
    # PostgreSQL's Unix socket wants a short path.
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        yield Installation(Path(folder))


class Lines:
    """What a process writes, line by line as it comes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.lines: list[str] = []
        self._spoke = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(process,))
        self._reader.start()

    def wait_for(self, text: str, timeout_s: float = 60.0) -> None:
        with self._spoke:
            assert self._spoke.wait_for(lambda: self.count(text) > 0, timeout_s), self.lines

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def end(self) -> None:
        self._reader.join(20)

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._spoke:
                    self.lines.append(line)
                    self._spoke.notify_all()


def test_no_database_and_no_broker_at_start(made: Installation) -> None:
    settings = made.home.path / "server.toml"
    settings.write_text(f'{settings.read_text()}\n[database]\nurl = "{made.conninfo}"\n')
    process = subprocess.Popen(
        [sys.executable, "-m", "wayside_server", "run", "--home", str(made.home.path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines = Lines(process)
    try:
        lines.wait_for("waiting for the database")
        made.postgres.start()
        lines.wait_for("serving")
        lines.wait_for("ingest has no broker")
        with made.broker():
            lines.wait_for("ingest session began")
            process.terminate()
            process.wait(30)
    finally:
        process.kill()
        process.wait()
        lines.end()
        made.postgres.stop()
    assert lines.count("waiting for the database") == 1
    assert lines.count("ingest has no broker") == 1
    assert lines.count("a role ended") == 0
    assert lines.count("Traceback") == 0
