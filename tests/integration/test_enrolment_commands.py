"""`wayside-server token` and `wayside-server devices`, on a database."""

import asyncio
import csv
import json
import re
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from wayside_server import config
from wayside_server.__main__ import parser
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install
from wayside_shared.enrolment import parse_token


@pytest.fixture
def home(tmp_path: Path, database: str) -> Home:
    made = Home(tmp_path / "home")
    install(made, ["127.0.0.1"], datetime.now(UTC))
    config.ensure(made, public_host="server.example", listen="127.0.0.1", broker_port=None, api_port=None)
    with made.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    return made


async def run(home: Home, *words: str) -> None:
    """The command, as the shell runs it."""
    options = parser().parse_args([*words, "--home", str(home.path)])
    # Its log would go to standard error.
    with capture_logs():
        await asyncio.to_thread(options.command, options)


async def test_tokens_are_made_listed_and_revoked(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    await run(home, "token", "create", "--prefix", "boiler", "--uses", "20", "--group", "cellar", "--label", "May")
    made = capsys.readouterr()
    token = made.out.strip()
    parse_token(token)
    assert "curl -fsS -k --pinnedpubkey sha256//" in made.err
    assert "https://server.example:8443/install.sh; } | sudo sh\n" in made.err
    await run(home, "token", "list")
    listed = capsys.readouterr().out
    assert re.match(r" +1  good +0/20  until \S+ \S+  boiler-… +cellar +command line:\S+  May\n", listed)
    assert token not in listed
    await run(home, "token", "revoke", "1")
    await run(home, "token", "list")
    assert "  revoked" in capsys.readouterr().out
    with pytest.raises(NotFoundError, match="token list"):
        await run(home, "token", "revoke", "2")
    with pytest.raises(ConfigError, match="--tenant"):
        await run(home, "token", "list", "--tenant", "kiln-works")


async def test_ten_thousand_rows_take_seconds(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "boards.csv", tmp_path / "boards.tokens.csv"
    file.write_text("name,group\n" + "".join(f"board-{n},hall-{n % 7}\n" for n in range(10_000)))
    await run(home, "device", "import", str(file), "--dry-run")
    assert capsys.readouterr().out == "nothing was made; 10,000 tokens would be\n"
    assert not out.exists()
    begun = time.process_time()
    await run(home, "device", "import", str(file))
    assert time.process_time() - begun < 10
    assert capsys.readouterr().out == f"10,000 tokens in {out}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert (len(rows), len({row["token"] for row in rows}), rows[0]["name"]) == (10_000, 10_000, "board-0")
    with pytest.raises(ConfigError, match="exists and may hold tokens"):
        await run(home, "device", "import", str(file))


async def test_a_file_without_a_good_row(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "boards.csv"
    file.write_text("name,expires\nboard-1,2020-01-01\nboard-2,-1h\nboard-3\n")
    with pytest.raises(ConfigError) as refused:
        await run(home, "device", "import", str(file), "--partial")
    assert str(refused.value) == "nothing was made: 3 rows are wrong; mend what is said above"
    assert capsys.readouterr().err.splitlines() == [
        "line 2: expires: 2020-01-01 is in the past; give a time to come",
        "line 3: expires: -1h is in the past; give a time to come",
        "line 4: it has 1 cell where the first line has 2",
    ]
    file.write_text("name\nboard-1\n")
    await run(home, "device", "import", str(file))
    assert capsys.readouterr().out == f"1 token in {tmp_path / 'boards.tokens.csv'}\n"


async def test_wrong_rows_are_told_by_their_lines(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "boards.jsonl", tmp_path / "made.jsonl"
    file.write_text('{"name": "board-1"}\n{"name": "board/2"}\n')
    with pytest.raises(
        ConfigError, match="nothing was made: 1 row is wrong; mend what is said above, or add --partial for the others"
    ):
        await run(home, "device", "import", str(file), "--out", str(out))
    assert capsys.readouterr().err.startswith("line 2: device name 'board/2': a name has 3 to 63 of a-z")
    assert not out.exists()
    await run(home, "device", "import", str(file), "--out", str(out), "--partial", "--hours", "48")
    assert [json.loads(line)["name"] for line in out.read_text().splitlines()] == ["board-1"]
    for name, reason in (("boards.txt", "must end in"), ("nothing.csv", "cannot read")):
        with pytest.raises(ConfigError, match=reason):
            await run(home, "device", "import", str(tmp_path / name))
