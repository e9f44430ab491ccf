"""`wayside-server init` and the commands, as processes and files."""

import asyncio
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from cryptography import x509

from wayside_server import config
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home
from wayside_server.identity.install_line import install_line, server_pin
from wayside_server.identity.installation import RENEW_BEFORE, SERVER_DAYS, install, load_authority, write_broker_files
from wayside_testkit.broker import free_port

NOW = datetime(2030, 1, 2, tzinfo=UTC)


def files(home: Home) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


def hosts(home: Home) -> list[str]:
    certificate = x509.load_pem_x509_certificate(home.certificate("api").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def server_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wayside_server", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def short_home() -> Iterator[Home]:
    """A home for the embedded PostgreSQL; pytest's own folders can be too long for its Unix socket."""
    with tempfile.TemporaryDirectory(prefix="wayside-") as folder:
        yield Home(Path(folder))


def test_a_second_run_changes_nothing(home: Home) -> None:
    install(home, ["telemetry.example"], NOW)
    write_broker_files(home, "127.0.0.1", 8883)
    first = files(home)
    install(home, [], NOW + timedelta(days=1))
    write_broker_files(home, "127.0.0.1", 8883)
    assert files(home) == first


def test_private_keys_are_their_owners_only(home: Home) -> None:
    install(home, ["telemetry.example"], NOW)
    keys = list(home.path.rglob("*.key"))
    assert len(keys) == 2 + 2 + 8 + 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home.path, home.ca, home.tls)} == {0o700}


def test_certificates_are_renewed_when_due_and_keys_never(home: Home) -> None:
    install(home, ["telemetry.example"], NOW)
    first = files(home)
    install(home, [], NOW + timedelta(days=SERVER_DAYS) - RENEW_BEFORE)
    changed = {path for path, content in files(home).items() if first[path] != content}
    assert {path.suffix for path in changed} == {".pem"}
    assert len(changed) == 10
    assert hosts(home) == ["telemetry.example", "localhost", "127.0.0.1"]


def test_other_hosts_make_new_server_certificates(home: Home) -> None:
    install(home, ["old.example"], NOW)
    install(home, ["new.example", "192.0.2.7", "2001:db8::7"], NOW)
    assert hosts(home) == ["new.example", "192.0.2.7", "2001:db8::7", "localhost", "127.0.0.1"]


def test_the_root_key_is_not_needed_to_run(home: Home) -> None:
    install(home, ["telemetry.example"], NOW)
    (home.ca / "root.key").unlink()
    load_authority(home)


def test_an_interrupted_init_leaves_no_half_authority(home: Home) -> None:
    unfinished = home.path / "ca.new"
    unfinished.mkdir(parents=True)
    (unfinished / "root.key").write_bytes(b"half")
    install(home, ["telemetry.example"], NOW)
    load_authority(home)
    assert not unfinished.exists()


@pytest.mark.parametrize("damage", ["root.pem", "intermediate.pem", "intermediate.key"])
def test_a_damaged_authority_is_one_clear_line(home: Home, damage: str) -> None:
    install(home, ["telemetry.example"], NOW)
    (home.ca / damage).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match="restore it from a backup"):
        load_authority(home)
    (home.ca / damage).unlink()
    with pytest.raises(ConfigError, match="is missing"):
        load_authority(home)


def test_settings_are_written_once(home: Home) -> None:
    install(home, ["telemetry.example"], NOW)
    for _ in range(2):
        config.ensure(home, public_host="telemetry.example", listen="127.0.0.1", broker_port=1883, api_port=None)
    settings = config.load(home)
    assert (settings.broker.port, settings.broker.listen, settings.api.port) == (1883, "127.0.0.1", 8443)
    assert settings.broker.public_host == settings.api.public_host == "telemetry.example"
    with pytest.raises(ConfigError, match="--broker-port 1884"):
        config.ensure(home, public_host="telemetry.example", listen=None, broker_port=1884, api_port=None)


def test_commands_without_an_installation_say_what_to_type(home: Home) -> None:
    done = server_command("run", "--home", str(home.path))
    assert done.returncode == 78
    assert done.stderr.splitlines() == [
        f"wayside-server: {home.path} holds no installation; run wayside-server init --home {home.path}"
    ]


def test_a_reserved_name_gets_no_token(home: Home, database: str) -> None:
    init = server_command("init", "--home", str(home.path), "--host", "127.0.0.1")
    assert init.returncode == 0, init.stderr
    with home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    refused = server_command("token", "create", "--home", str(home.path), "--name", "wayside-server-1")
    assert refused.returncode == 78
    assert "the server's own" in refused.stderr
    made = server_command("token", "create", "--home", str(home.path), "--name", "boiler-7")
    assert made.stdout.startswith("wst1."), made.stderr
    line = install_line("https://127.0.0.1:8443", server_pin(home), made.stdout.strip())
    missing = "but the server has nothing to install yet; first run: wayside-server packages fetch"
    assert made.stderr == f"on the board, type:\n{line}\n{missing}\n"
    assert server_command("api-key", "create", "reports", "--home", str(home.path)).stdout.startswith("wsk_")
    listed = server_command("api-key", "list", "--home", str(home.path)).stdout.splitlines()[-1].split()
    assert listed[-1] == "reports"
    revoked = server_command("api-key", "revoke", listed[0], "--home", str(home.path))
    assert (revoked.returncode, revoked.stdout) == (0, "the key is revoked, and those that it made\n")


def test_accounts_are_made_and_mended_on_the_machine_itself(home: Home, database: str) -> None:
    at = ("--home", str(home.path))
    init = server_command("init", *at, "--host", "127.0.0.1")
    code = init.stdout.split()[-1]
    assert len(code.replace("-", "")) == 24, "init tells the set-up code"
    assert (home.secret_key.stat().st_mode & 0o777, home.setup_code.stat().st_mode & 0o777) == (0o600, 0o600)
    with home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    assert server_command("setup-code", *at).stdout.strip() == code
    assert f"/set-up?code={code}" in server_command("login-link", *at).stdout
    assert "/login/" in server_command("login-link", *at, "--new-administrator", "ada").stdout
    claimed = server_command("setup-code", *at)
    assert (claimed.returncode, "there is an account already" in claimed.stderr) == (78, True)
    assert "/login/" in server_command("login-link", *at).stdout
    assert "/login/" in server_command("person", "reset", "ada", *at).stdout
    made = server_command("api-key", "create", "robot", *at, "--scope", "manage", "--days", "1")
    assert made.stdout.startswith("wsk_"), made.stderr
    assert server_command("api-key", "list", *at).stdout.endswith("  robot\n")
    for wrong in (("--scope", "everything"), ("--tenant", "nowhere")):
        refused = server_command("api-key", "create", "robot", *at, *wrong)
        assert (refused.returncode, "Traceback" in refused.stderr) == (78, False)


async def test_a_role_stops_when_its_supervisor_is_gone(home: Home, database: str) -> None:
    init = server_command("init", "--home", str(home.path), "--host", "127.0.0.1")
    assert init.returncode == 0, init.stderr
    with home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wayside_server", "jobs", "--home", str(home.path), "--supervised"),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(20):
        assert await process.wait() == 0


def test_a_taken_port_ends_the_server_with_one_clear_line(home: Home, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        init = server_command(
            *("init", "--home", str(home.path), "--host", "127.0.0.1", "--listen", "127.0.0.1"),
            *("--api-port", str(port)),
        )
        assert init.returncode == 0, init.stderr
        with home.settings_file.open("a") as file:
            file.write(f'\n[database]\nurl = "{database}"\n')
        done = server_command("run", "--home", str(home.path))
    assert done.returncode == 78, done.stderr
    assert "Traceback" not in done.stderr
    assert f"wayside-server: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


async def test_run_serves_https_restarts_roles_and_leaves_nothing(short_home: Home) -> None:
    home = short_home
    port = free_port()
    init = server_command(
        *("init", "--home", str(home.path), "--host", "127.0.0.1", "--listen", "127.0.0.1"),
        *("--api-port", str(port), "--broker-port", str(free_port())),
    )
    assert init.returncode == 0, init.stderr
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wayside_server", "run", "--home", str(home.path)), stderr=subprocess.PIPE
    )
    try:
        await answered(port, home)
        created = await asyncio.to_thread(server_command, "api-key", "create", "metrics", "--home", str(home.path))
        key = next(word for word in created.stdout.split() if word.startswith("wsk_"))
        context = ssl.create_default_context(cafile=str(home.ca_file))
        async with httpx.AsyncClient(verify=context, headers={"Authorization": f"Bearer {key}"}) as client:
            metrics = await client.get(f"https://127.0.0.1:{port}/metrics")
        assert "wayside_ingest_samples_total 0.0" in metrics.text, "the counters of another role"
        children = psutil.Process(process.pid).children()
        api = next(child for child in children if "api" in child.cmdline())
        api.kill()
        await answered(port, home, after=api)
        everything = psutil.Process(process.pid).children(recursive=True)
        assert len(everything) >= 4
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.communicate()
    assert process.returncode == 0
    assert [child for child in everything if child.is_running()] == []


async def answered(port: int, home: Home, after: psutil.Process | None = None) -> None:
    """Returns when HTTPS is served, by another process than `after`."""
    context = ssl.create_default_context(cafile=str(home.ca_file))
    async with asyncio.timeout(30):
        while True:
            if after is None or not after.is_running():
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
                except OSError:
                    pass
                else:
                    writer.close()
                    return
            await asyncio.sleep(0.05)
