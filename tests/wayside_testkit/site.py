"""The api role as it is shipped, on a database of a test's own, and devices that talk to it."""

import asyncio
import base64
import http.client
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from wayside_server import app, config
from wayside_server.config import ServerSettings
from wayside_server.identity.home import Home
from wayside_server.identity.installation import install, load_authority
from wayside_server.identity.office import EnrolmentOffice, open_office
from wayside_server.identity.tokens import TokenOrder
from wayside_shared.enrolment import EnrolmentToken
from wayside_testkit.broker import free_port
from wayside_testkit.credentials import Credentials
from wayside_testkit.enrolment import HOUR, OPERATOR, MemoryTrail, RevokedSerials

_REFUSALS = b"SELECT kind, count FROM refusal UNION ALL SELECT kind, count FROM tenant_refusal"


@dataclass(frozen=True)
class Site:
    """A running server."""

    home: Home
    settings: ServerSettings
    office: EnrolmentOffice
    url: str
    database: str

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        status, content, _ = self.exchange(method, path, body, None, **headers)
        return status, content

    def exchange(
        self, method: str, path: str, body: bytes | None, credentials: Credentials | None, **headers: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers of an answer, to a client that may have a certificate."""
        context = ssl.create_default_context(cafile=str(self.home.ca_file))
        if credentials is not None:
            context.load_cert_chain(credentials.cert_file, credentials.key_file)
        connection = http.client.HTTPSConnection("127.0.0.1", self.settings.api.port, timeout=30, context=context)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def execute(self, statement: str) -> None:
        """Does something to the database."""
        with psycopg.connect(self.database) as connection:
            connection.execute(statement.encode())

    async def token(self, name: str | None = None, **order: Any) -> EnrolmentToken:
        return await self.office.tokens.create(TokenOrder(HOUR, name=name, **order), OPERATOR)

    async def expired_token(self) -> EnrolmentToken:
        token = await self.token()
        with psycopg.connect(self.database) as connection:
            connection.execute("UPDATE enrolment_token SET expires_at = now() WHERE digest = %s", [token.digest])
        return token

    def count(self, table: str) -> int:
        with psycopg.connect(self.database) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        return int(row[0])

    def refusals(self) -> dict[str, int]:
        with psycopg.connect(self.database) as connection:
            return dict(connection.execute(_REFUSALS).fetchall())


@asynccontextmanager
async def serving(home: Home, settings: ServerSettings) -> AsyncIterator[None]:
    """The api role runs within the block."""
    role = asyncio.create_task(app.run_api(home, settings))
    try:
        async with asyncio.timeout(20):
            while True:
                assert not role.done(), role.exception()
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", settings.api.port)
                    writer.close()
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
        yield
    finally:
        role.cancel()
        await asyncio.wait([role])


@asynccontextmanager
async def open_site(folder: Path, database: str, ahead: timedelta = timedelta(0)) -> AsyncIterator[Site]:
    """A running server in `folder`, whose own certificates are made `ahead` of time."""
    home = Home(folder)
    install(home, ["127.0.0.1"], datetime.now(UTC) + ahead)
    config.ensure(home, public_host="broker.example", listen="127.0.0.1", broker_port=8884, api_port=free_port())
    with home.settings_file.open("a") as file:
        file.write(f'\n[database]\nurl = "{database}"\n')
    settings = config.load(home)
    async with serving(home, settings), app.open_storage(home, settings) as storage:
        url = f"https://127.0.0.1:{settings.api.port}"
        office = open_office(
            load_authority(home),
            storage.enrolment,
            refusals=storage.identity,
            revocations=RevokedSerials(),
            trail=MemoryTrail(),
            certificate_days=90,
            now=app.utc_now,
        )
        yield Site(home, settings, office, url, database)


def basic(token: str) -> str:
    return "Basic " + base64.b64encode(f"device:{token}".encode()).decode()
