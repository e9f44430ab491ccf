"""EST over real HTTPS, but for tokens: devices that come first, renewals by certificate, renewals with consent."""

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7

from wayside_server.errors import ConfigError
from wayside_server.identity.authority import PrivateKey, new_key
from wayside_server.identity.installation import load_authority
from wayside_shared.enrolment import (
    BROKER_HEADER,
    DEVICE_HEADER,
    SIMPLEENROLL_PATH,
    SIMPLEREENROLL_PATH,
    claim_code,
)
from wayside_testkit.credentials import Credentials, CredentialsFactory
from wayside_testkit.enrolment import OPERATOR, certificate_request
from wayside_testkit.site import Site, basic, open_site


@pytest.fixture
async def site(tmp_path: Path, database: str) -> AsyncIterator[Site]:
    async with open_site(tmp_path / "home", database) as opened:
        yield opened


class Device:
    """A device with a key of its own."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.key = new_key()
        self.factory = CredentialsFactory(folder, load_authority(site.home))

    async def post(
        self, path: str, credentials: Credentials | None = None, key: PrivateKey | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        body = base64.b64encode(certificate_request(key or self.key))
        status, content, given = await asyncio.to_thread(
            lambda: self.site.exchange("POST", path, body, credentials, **headers)
        )
        return status, content, dict(given)

    async def enrol(self, name: str) -> Credentials:
        """Enrols with a token."""
        token = str(await self.site.token(name))
        status, content, _ = await self.post(SIMPLEENROLL_PATH, Authorization=basic(token))
        assert status == 200
        return self.keep(content)

    def keep(self, content: bytes, key: PrivateKey | None = None) -> Credentials:
        """The certificate in an answer, as files."""
        mine = key or self.key
        chain = pkcs7.load_der_pkcs7_certificates(base64.b64decode(content))
        (leaf,) = (each for each in chain if each.public_key() == mine.public_key())
        return self.factory.write(str(next(iter(leaf.subject)).value), leaf, mine)


@pytest.fixture
def device(site: Site, tmp_path: Path) -> Device:
    folder = tmp_path / "credentials"
    folder.mkdir()
    return Device(site, folder)


async def test_a_device_comes_first_and_is_claimed_by_its_code(site: Site, device: Device) -> None:
    status, said, headers = await device.post(SIMPLEENROLL_PATH)
    assert (status, headers["retry-after"]) == (202, "10")
    root = x509.load_pem_x509_certificate(site.home.ca_file.read_bytes())
    spki = device.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    code = claim_code(root.fingerprint(hashes.SHA256()), spki)
    assert code.encode() not in said, "somebody in between would learn what to show"
    await site.office.claims.claim(code, "cellar", "boiler-7", OPERATOR)
    status, content, headers = await device.post(SIMPLEENROLL_PATH)
    assert (status, headers[BROKER_HEADER.lower()]) == (200, "broker.example:8884")
    assert device.keep(content).name == "boiler-7"


async def test_a_refused_and_a_late_device_are_told(site: Site, device: Device) -> None:
    await device.post(SIMPLEENROLL_PATH)
    site.execute("UPDATE pending_enrolment SET expires_at = now()")
    status, said, _ = await device.post(SIMPLEENROLL_PATH)
    assert (status, json.loads(said)["status"]) == (410, 410)
    await device.post(SIMPLEENROLL_PATH)
    (entry,) = await site.office.claims.listed(OPERATOR, limit=5)
    assert entry.address == "127.0.0.1"
    await site.office.claims.refuse(entry.entry_id, OPERATOR)
    status, said, _ = await device.post(SIMPLEENROLL_PATH)
    assert (status, json.loads(said)["detail"]) == (403, "an operator has refused this device")
    assert site.refusals() == {"enrolment_refused": 1}


async def test_a_certificate_renews_by_itself_and_both_stay_good(site: Site, device: Device) -> None:
    first = await device.enrol("boiler-7")
    fresh = new_key()
    status, content, headers = await device.post(SIMPLEREENROLL_PATH, first, fresh)
    assert (status, headers[BROKER_HEADER.lower()]) == (200, "broker.example:8884")
    second = device.keep(content, fresh)
    assert second.name == "boiler-7"
    for each, key in ((first, device.key), (second, fresh)):
        assert (await device.post(SIMPLEREENROLL_PATH, each, key))[0] == 200


async def test_names_come_from_certificates_only(site: Site, device: Device) -> None:
    await device.enrol("boiler-7")
    headers = {DEVICE_HEADER: "boiler-7", "X-SSL-Client-S-DN": "CN=boiler-7", "X-Forwarded-Client-Cert": "boiler-7"}
    status, said, _ = await device.post(SIMPLEREENROLL_PATH, None, **headers)
    assert (status, "certificate on the TLS connection" in json.loads(said)["detail"]) == (403, True)


async def test_certificates_that_count_no_more_are_refused(site: Site, device: Device) -> None:
    gone = await device.enrol("boiler-7")
    site.execute("UPDATE enrolment_token SET device_id = NULL; DELETE FROM certificate; DELETE FROM device")
    never = device.factory.device("boiler-8")
    service = device.factory.service()
    for each in (gone, never, service):
        assert (await device.post(SIMPLEREENROLL_PATH, each))[0] == 403
    assert site.refusals() == {"certificate_unknown": 3}
    assert site.count("certificate") == 0


async def test_a_certificate_that_does_not_verify_ends_the_handshake(
    site: Site, device: Device, tmp_path: Path
) -> None:
    folder = tmp_path / "foreign"
    folder.mkdir()
    foreign = CredentialsFactory(folder).device("boiler-7")
    key = new_key()
    past = datetime.now(UTC) - timedelta(days=3)
    ended = load_authority(site.home).issue_device("boiler-7", key.public_key(), now=past, days=1)
    for each in (foreign, device.factory.write("boiler-7", ended, key), device.factory.server()):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await device.post(SIMPLEREENROLL_PATH, each)
    assert site.refusals() == {}


async def test_a_browser_is_asked_for_no_certificate_but_ours(site: Site) -> None:
    words = ["s_client", "-connect", f"127.0.0.1:{site.settings.api.port}", "-CAfile", str(site.home.ca_file)]
    client = await asyncio.create_subprocess_exec(
        "openssl", *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    said = (await client.communicate())[0].decode()
    names = said.partition("Acceptable client certificate CA names\n")[2]
    assert re.match(r"CN = Wayside root CA [0-9a-f]{8}\nRequested Signature Algorithms", names)
    assert (await asyncio.to_thread(site.request, "GET", "/healthz"))[0] == 200


async def test_an_expired_certificate_renews_with_consent(site: Site, device: Device) -> None:
    await device.enrol("boiler-7")
    other = {DEVICE_HEADER: "boiler-8"}
    assert (await device.post(SIMPLEENROLL_PATH, None, **other))[0] == 403
    own = {DEVICE_HEADER: "boiler-7"}
    assert (await device.post(SIMPLEENROLL_PATH, None, **own))[0] == 202
    (entry,) = await site.office.claims.listed(OPERATOR, limit=5)
    with pytest.raises(ConfigError, match="twelve"):
        await site.office.claims.claim("", None, None, OPERATOR)
    assert await site.office.claims.approve(entry.entry_id, OPERATOR) == "boiler-7"
    status, content, _ = await device.post(SIMPLEENROLL_PATH, None, **own)
    assert (status, device.keep(content).name) == (200, "boiler-7")
    assert site.refusals() == {"renewal_unknown": 1}
