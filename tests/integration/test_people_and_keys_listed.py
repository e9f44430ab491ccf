"""What a person at the server types about accounts and keys: lists with heads, and never without an administrator."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from wayside_server import config
from wayside_server.__main__ import parser
from wayside_server.errors import ConfigError, NotFoundError
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install


@pytest.fixture
def home(tmp_path: Path, database: str) -> Home:
    made = Home(tmp_path / "home")
    install(made, ["127.0.0.1"], datetime.now(UTC))
    config.ensure(made, public_host="server.example", listen="127.0.0.1", broker_port=None, api_port=None)
    with made.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    return made


class Terminal:
    """Types commands, and reads what they print."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    async def type(self, *words: str) -> list[str]:
        options = parser().parse_args([*words, "--home", str(self._home.path)])
        await asyncio.to_thread(options.command, options)
        return self._capsys.readouterr().out.splitlines()


@pytest.fixture
def terminal(home: Home, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(home, capsys)


async def test_people_with_their_tenants(terminal: Terminal) -> None:
    assert await terminal.type("person", "list") == [
        "nobody has an account yet; wayside-server setup-code prints what makes the first one"
    ]
    await terminal.type("login-link", "--new-administrator", "ada")
    head, row = await terminal.type("person", "list")
    assert re.split(" {2,}", head) == ["NAME", "STATE", "LAST SIGN-IN", "SECOND FACTOR", "MAY ACT IN", "CALLED"]
    where = "installation (administrator), default (admin)"
    assert re.split(" {2,}", row) == ["ada", "enabled", "never", "no", where, "ada"]


async def test_the_last_administrator_stays(terminal: Terminal) -> None:
    await terminal.type("login-link", "--new-administrator", "ada")
    for act in ("demote", "disable"):
        with pytest.raises(ConfigError, match=r"ada is the last administrator .*wayside-server person promote NAME"):
            await terminal.type("person", act, "ada")
    await terminal.type("login-link", "--new-administrator", "eve")
    assert await terminal.type("person", "demote", "eve") == ["eve is no administrator of the installation"]
    # One who is no administrator is not kept from anything.
    assert await terminal.type("person", "demote", "eve") == ["eve is no administrator of the installation"]
    assert (await terminal.type("person", "disable", "eve"))[0].startswith("eve is disabled: nobody comes in as them")
    await terminal.type("person", "promote", "eve")
    # A disabled one would not do.
    with pytest.raises(ConfigError, match="ada is the last"):
        await terminal.type("person", "disable", "ada")
    assert (await terminal.type("person", "enable", "eve"))[0].startswith("eve is enabled")
    assert (await terminal.type("person", "disable", "ada"))[0].startswith("ada is disabled")
    assert await terminal.type("person", "promote", "ada") == ["ada is an administrator of the installation"]


async def test_why_there_is_nobody_to_sign_in(terminal: Terminal, database: str) -> None:
    await terminal.type("login-link", "--new-administrator", "ada")
    await terminal.type("login-link", "--new-administrator", "eve")
    await terminal.type("person", "disable", "eve")
    with pytest.raises(NotFoundError, match="'eve' is disabled; type wayside-server person enable eve"):
        await terminal.type("login-link", "--person", "eve")
    with pytest.raises(NotFoundError, match="there is no account 'bob'; see wayside-server person list"):
        await terminal.type("login-link", "--person", "bob")
    async with await psycopg.AsyncConnection.connect(database) as conn:
        # As a version left it that let the last one go.
        await conn.execute("UPDATE person SET is_administrator = false")
    with pytest.raises(NotFoundError, match=r"wayside-server person promote NAME .*--new-administrator NAME"):
        await terminal.type("login-link")


async def test_keys_with_all_that_is_known_of_them(terminal: Terminal) -> None:
    assert await terminal.type("api-key", "list") == [
        "there are no API keys; make one: wayside-server api-key create LABEL"
    ]
    await terminal.type("tenant", "create", "north")
    await terminal.type("api-key", "create", "for the wall\x1b[2J", "--tenant", "north", "--days", "1")
    head, row = await terminal.type("api-key", "list")
    assert head.split("  ")[0] == "PREFIX"
    prefix, *cells = re.split(" {2,}", row)
    ends = cells.pop(3)
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", ends)
    assert cells == ["good", "north", "metrics,read", "never", "command line", "for the wall\\x1b[2J"]
    assert head.index("TENANT") == row.index("north")
    assert await terminal.type("api-key", "revoke", prefix) == ["the key is revoked, and those that it made"]
