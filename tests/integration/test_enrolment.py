"""Enrolment over real HTTPS: the api role as it is shipped on one side, the agent's own code on the other."""

import asyncio
import base64
import json
import os
import re
import ssl
import stat
import subprocess
import tomllib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs7

from wayside_edge.__main__ import main
from wayside_edge.config import load as load_agent
from wayside_edge.enrol import enrol
from wayside_server import app, config
from wayside_server.app.people import desk_on
from wayside_server.errors import ConfigError, TransientError
from wayside_shared.enrolment import (
    CACERTS_PATH,
    MAX_REQUEST_BYTES,
    SIMPLEENROLL_PATH,
    SIMPLEREENROLL_PATH,
    new_token,
    parse_token,
)
from wayside_testkit.broker import free_port
from wayside_testkit.enrolment import certificate_request
from wayside_testkit.site import Site, basic, open_site


@pytest.fixture
async def site(tmp_path: Path, database: str) -> AsyncIterator[Site]:
    async with open_site(tmp_path / "home", database) as opened:
        yield opened


async def test_a_device_enrols(site: Site, tmp_path: Path) -> None:
    token = str(await site.token("boiler-7"))
    file, directory = tmp_path / "edge.toml", tmp_path / "device"
    assert await asyncio.to_thread(enrol, site.url, token, file, directory) == "boiler-7"
    settings = load_agent(file)
    assert (settings.uplink.host, settings.uplink.port, settings.uplink.device) == ("broker.example", 8884, "boiler-7")
    assert stat.S_IMODE(settings.uplink.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert sorted(path.name for path in directory.iterdir()) == ["ca.pem", "device.key", "device.pem", "versions"]
    context = ssl.create_default_context(cafile=str(settings.uplink.ca_file))
    context.load_cert_chain(settings.uplink.cert_file, settings.uplink.key_file)
    assert site.count("certificate") == site.count("device") == 1


async def test_the_server_makes_a_name_and_the_command_says_it(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = str(await site.token())
    arguments = ["enroll", site.url, token, "--config", str(tmp_path / "edge.toml"), "--dir", str(tmp_path / "device")]
    assert await asyncio.to_thread(main, arguments) == 0
    assert "enrolled as device-" in capsys.readouterr().out


async def test_enrolling_again_keeps_what_people_wrote(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('# mine\n[uplink] # here\nwindow = 7 # few\nhost = "old"\n\n[[sensor]] # last\nkind = "host"\n')
    for again in (False, True):
        token = str(await site.token("boiler-7", replace=again))
        await asyncio.to_thread(enrol, site.url, token, file, tmp_path / "device")
    text = file.read_text()
    assert all(part in text for part in ("# mine", "# here", "window = 7 # few", "[[sensor]] # last"))
    values = tomllib.loads(text)
    assert values["uplink"]["device"] == "boiler-7"
    assert values["sensor"] == [{"kind": "host"}]


async def test_a_folder_of_another_device_is_left_alone(site: Site, tmp_path: Path) -> None:
    file, folder = tmp_path / "edge.toml", tmp_path / "device"
    await asyncio.to_thread(enrol, site.url, str(await site.token("boiler-7")), file, folder)
    before = {path.name: path.read_bytes() for path in folder.glob("device.*")}
    other = str(await site.token("boiler-8"))
    with pytest.raises(ConfigError, match="is of device boiler-7, the token was for boiler-8"):
        await asyncio.to_thread(enrol, site.url, other, file, folder)
    assert {path.name: path.read_bytes() for path in folder.glob("device.*")} == before


async def test_a_race_of_a_hundred_threads_gives_one_certificate(site: Site) -> None:
    """Row 3: raced by 100 threads over real connections."""
    token = str(await site.token())

    def attempt(_: int) -> int:
        body = base64.b64encode(certificate_request())
        return site.request("POST", SIMPLEENROLL_PATH, body, Authorization=basic(token))[0]

    def race() -> list[int]:
        with ThreadPoolExecutor(100) as pool:
            return list(pool.map(attempt, range(100)))

    statuses = await asyncio.to_thread(race)
    assert sorted(statuses) == [200] + [401] * 99
    assert site.count("certificate") == 1
    assert site.refusals() == {"enrolment_token_used": 99}


async def test_est_gives_the_same(site: Site) -> None:
    status, body = await asyncio.to_thread(site.request, "GET", CACERTS_PATH)
    token = await site.token("boiler-7")
    roots = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert status == 200
    assert token.fingerprint in [root.fingerprint(hashes.SHA256()) for root in roots]
    request = base64.encodebytes(certificate_request())
    status, body = await asyncio.to_thread(
        lambda: site.request("POST", SIMPLEENROLL_PATH, request, Authorization=basic(str(token)))
    )
    assert status == 200
    names = [c.subject.rfc4514_string() for c in pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))]
    assert "CN=boiler-7" in names
    status, body = await asyncio.to_thread(
        lambda: site.request("POST", SIMPLEENROLL_PATH, request, Authorization=basic(str(token)))
    )
    assert (status, "was used before" in json.loads(body)["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (SIMPLEENROLL_PATH, b"", {}, 400),
        (SIMPLEENROLL_PATH, b"garbage", {}, 400),
        (SIMPLEENROLL_PATH, b"x" * (MAX_REQUEST_BYTES + 1), {}, 413),
        (SIMPLEREENROLL_PATH, b"", {}, 403),
        (SIMPLEREENROLL_PATH, b"", {"Authorization": basic("x"), "X-SSL-Client-Cert": "boiler-7"}, 403),
        (SIMPLEENROLL_PATH, b"", {"Authorization": "Basic !"}, 401),
        (SIMPLEENROLL_PATH, b"", {"Authorization": "Bearer x"}, 401),
        (SIMPLEENROLL_PATH, b"", {"Authorization": basic("x")}, 401),
        (SIMPLEENROLL_PATH, b"garbage", {"Authorization": basic(str(new_token(bytes(32))))}, 400),
        (SIMPLEENROLL_PATH, b"x" * (MAX_REQUEST_BYTES + 1), {"Authorization": basic("x")}, 413),
    ],
)
async def test_bad_requests_are_refused(
    site: Site, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    found, answer = await asyncio.to_thread(lambda: site.request("POST", path, body, **headers))
    assert found == status
    assert "\n" not in json.loads(answer)["detail"]
    assert site.count("device") == 0


async def refused(site: Site, token: str, tmp_path: Path, url: str | None = None) -> str:
    """What the agent says, in one line, when it is refused; nothing is left behind."""
    file, directory = tmp_path / "edge.toml", tmp_path / "device"
    with pytest.raises((ConfigError, TransientError)) as refusal:
        await asyncio.to_thread(enrol, url or site.url, token, file, directory)
    assert not file.exists()
    assert not directory.exists() or list(directory.iterdir()) == []
    assert "\n" not in str(refusal.value)
    assert parse_token(token).secret.hex() not in str(refusal.value)
    return str(refusal.value)


async def test_wrong_used_and_expired_tokens_are_told(site: Site, tmp_path: Path) -> None:
    good = await site.token()
    assert "not known" in await refused(site, str(new_token(good.fingerprint)), tmp_path)
    assert "expired" in await refused(site, str(await site.expired_token()), tmp_path)
    await asyncio.to_thread(enrol, site.url, str(good), tmp_path / "other.toml", tmp_path / "other")
    assert "used before" in await refused(site, str(good), tmp_path)
    assert site.refusals() == {
        "enrolment_token_unknown": 1,
        "enrolment_token_expired": 1,
        "enrolment_token_used": 1,
    }


async def test_another_ca_is_told_and_gets_no_token(site: Site, tmp_path: Path) -> None:
    assert "another CA" in await refused(site, str(new_token(bytes(32))), tmp_path)
    assert site.refusals() == {}


async def test_a_name_that_the_certificate_lacks_is_told(site: Site, tmp_path: Path) -> None:
    token = await site.token()
    settings = config.ServerSettings(
        database=site.settings.database,
        broker=site.settings.broker,
        api=config.ApiSettings(host="127.0.0.2", port=free_port()),
    )
    url = f"https://127.0.0.2:{settings.api.port}"
    role = asyncio.create_task(app.run_api(site.home, settings))
    try:
        async with asyncio.timeout(20):
            while "cannot reach" in (said := await refused(site, str(token), tmp_path, url)):
                assert not role.done(), role.exception()
    finally:
        role.cancel()
        await asyncio.wait([role])
    assert "is not for '127.0.0.2'" in said


async def test_no_server_is_told(site: Site, tmp_path: Path) -> None:
    token = await site.token()
    said = await refused(site, str(token), tmp_path, f"https://127.0.0.1:{free_port()}")
    assert said.startswith("cannot reach 127.0.0.1")


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1", "https://", "https://x:99999"])
async def test_a_wrong_address_is_told(site: Site, tmp_path: Path, url: str) -> None:
    token = await site.token()
    await refused(site, str(token), tmp_path, url)


async def test_a_server_certificate_from_the_future_means_a_wrong_clock(tmp_path: Path, database: str) -> None:
    async with open_site(tmp_path / "home", database, timedelta(days=3)) as site:
        token = await site.token()
        assert "set the clock" in await refused(site, str(token), tmp_path)


@pytest.mark.parametrize("text", ["uplink = {host = 'x'}\n", "[uplink\n", '[uplink]\nhost = """\n[x]\n"""\n'])
async def test_a_file_that_cannot_be_edited_costs_no_token(site: Site, tmp_path: Path, text: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    token = await site.token()
    with pytest.raises(ConfigError):
        await asyncio.to_thread(enrol, site.url, str(token), file, tmp_path / "device")
    assert file.read_text() == text
    assert site.count("certificate") == 0


async def test_a_sign_in_link_opens_the_console(site: Site) -> None:
    async with app.open_storage(site.home, site.settings) as storage:
        desk = desk_on(site.home, site.settings, storage)
        await desk.machine.add_administrator("ada")
        link = await desk.sessions.create_link()
    assert (await asyncio.to_thread(site.request, "GET", f"/login/{link}"))[0] == 200
    assert (await asyncio.to_thread(site.request, "GET", f"/login/{link}"))[0] == 401


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_are_taken(site: Site, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(site.home.ca_file))
    context.minimum_version = context.maximum_version = version
    _, writer = await asyncio.open_connection("127.0.0.1", site.settings.api.port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
    writer.close()


async def test_plain_http_is_not_served(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.settings.api.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not (await reader.read(100)).startswith(b"HTTP")
    writer.close()


PLAIN_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "send-plain-json.md"


def recipe(url: str, token: str) -> str:
    """What the page on plain JSON tells to type for a certificate."""
    (text,) = re.findall(r"## Get a certificate.*?```sh\n(.*?)```", PLAIN_PAGE.read_text(), re.DOTALL)
    filled = str(text).replace("https://server.example:8443", url).replace("wst1.…", token)
    assert url in filled
    assert token in filled
    return "set -u\n" + filled


async def test_a_device_without_the_agent_enrols_as_the_page_says(site: Site, tmp_path: Path) -> None:
    token = str(await site.token("boiler-7"))
    words = ["sh", "-c", recipe(site.url, token)]
    for status in (0, 1):
        done = await asyncio.to_thread(subprocess.run, words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        if status == 0:
            assert "boiler-7" in done.stdout
            assert "broker.example:8884" in done.stdout
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.load_cert_chain(tmp_path / "device.pem", tmp_path / "device.key")  # raises when they do not match
        assert stat.S_IMODE((tmp_path / "device.key").stat().st_mode) == 0o600
    assert "was used before" in json.loads(done.stdout)["detail"]
    renew = re.findall(r"```sh\n(openssl req -new -key.*?)```", PLAIN_PAGE.read_text(), re.DOTALL)[0]
    words = ["sh", "-c", f"URL={site.url}\n{renew}"]
    done = await asyncio.to_thread(subprocess.run, words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, site.count("certificate")) == (0, 2), done.stdout + done.stderr


async def test_the_page_trusts_no_ca_but_that_of_the_token(site: Site, tmp_path: Path) -> None:
    words = ["sh", "-c", recipe(site.url, str(new_token(bytes(32))))]
    done = await asyncio.to_thread(subprocess.run, words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "another CA than the token's\n")
    assert "ca.pem" not in await asyncio.to_thread(os.listdir, tmp_path)
