"""Commands whose output nobody reads to its end: `… | head -1`."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from wayside_server import config
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install
from wayside_shared.commands import EXIT_PIPE

WAYSIDE = ("-c", "import sys; from wayside_firmware.__main__ import wayside; sys.exit(wayside())")


def typed_unread(*words: str, both: bool = False) -> tuple[int, bytes]:
    """Status and standard error of a command whose standard output, or that and standard error, nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    try:
        done = subprocess.run(
            [sys.executable, *words],
            stdout=theirs,
            stderr=theirs if both else subprocess.PIPE,
            timeout=60,
            env=buffered,
            check=False,
        )
    finally:
        os.close(theirs)
    return done.returncode, done.stderr or b""


@pytest.mark.parametrize(
    "words",
    [
        # A few lines wait in a buffer until the end; many are written before it.
        ("-m", "wayside_edge", "sample-config"),
        ("-m", "wayside_edge", "sample-config", "bme280"),
        ("-m", "wayside_firmware", "board"),
        ("-m", "wayside_firmware", "air", "office", "--hours", "500"),
        ("-m", "wayside_server", "--help"),
        (*WAYSIDE, "--version"),
    ],
    ids=lambda words: " ".join(words[1:]),
)
def test_a_command_ends_without_a_word(words: tuple[str, ...]) -> None:
    assert typed_unread(*words) == (EXIT_PIPE, b"")


def test_so_does_one_whose_errors_nobody_reads_either() -> None:
    assert typed_unread("-m", "wayside_edge", "check-config", "--config", "/nowhere", both=True)[0] == EXIT_PIPE


def test_a_program_without_standard_output_is_not_concerned() -> None:
    command = f"exec {sys.executable} -m wayside_edge sample-config >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_and_one_in_the_middle_of_its_work(tmp_path: Path, database: str) -> None:
    home = Home(tmp_path / "home")
    install(home, ["127.0.0.1"], datetime.now(UTC))
    config.ensure(home, public_host="127.0.0.1", listen="127.0.0.1", broker_port=None, api_port=None)
    with home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    with psycopg.connect(database) as conn:
        conn.execute(
            "INSERT INTO enrolment_token (digest, expires_at, label)"
            " SELECT sha256(n::text::bytea), now(), repeat('x', 100)"
            " FROM generate_series(1, 500) AS n"
        )
    at = ("--home", str(home.path))
    assert typed_unread("-m", "wayside_server", "token", "list", *at) == (EXIT_PIPE, b"")
    assert typed_unread("-m", "wayside_server", "tenant", "list", *at) == (EXIT_PIPE, b"")
