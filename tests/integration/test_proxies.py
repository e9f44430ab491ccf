"""Who asks, when there are proxies between."""

from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from wayside_server.api.schema import DocumentedApp
from wayside_server.api.service import create_app
from wayside_server.app.web import warn_of_proxies
from wayside_server.config import ApiSettings, ServerSettings
from wayside_server.domain.addresses import networks_of
from wayside_server.domain.rates import RateLimits, Rates
from wayside_server.storage.database import Pool
from wayside_server.storage.live import PostgresLive
from wayside_server.storage.reading import PostgresReading
from wayside_shared.errors import ConfigError
from wayside_shared.settings import from_toml
from wayside_testkit.people import Office, open_office
from wayside_testkit.web import serve


@pytest.fixture
def office(pool: Pool, tmp_path: Path) -> Office:
    return open_office(pool, tmp_path)


def app_behind(
    pool: Pool, database: str, office: Office, proxies: list[str], metrics_from: tuple[str, ...] = ("127.0.0.1",)
) -> DocumentedApp:
    return create_app(
        reading=PostgresReading(pool, database),
        access=office.desk.sessions,
        live=PostgresLive(database),
        registry=CollectorRegistry(),
        metrics_hosts=metrics_from,
        rates=Rates(RateLimits(address=1.0), lambda: 1000.0),
        proxies=networks_of(proxies),
    )


async def asked(base: str, path: str, *forwarded: str) -> int:
    """The status of an answer to a request with these addresses in X-Forwarded-For."""
    async with httpx.AsyncClient(base_url=base) as client:
        headers = [("X-Forwarded-For", each) for each in forwarded]
        return (await client.get(path, headers=headers)).status_code


async def test_nobody_is_another_because_they_say_so(pool: Pool, database: str, office: Office) -> None:
    async with serve(app_behind(pool, database, office, [])) as base:
        statuses = [await asked(base, "/healthz", f"203.0.113.{number}") for number in range(11)]
    assert statuses == [200] * 10 + [429]


async def test_clients_of_a_trusted_proxy_are_told_apart(pool: Pool, database: str, office: Office) -> None:
    async with serve(app_behind(pool, database, office, ["127.0.0.1", "192.0.2.0/24"])) as base:
        statuses = [await asked(base, "/healthz", f"203.0.113.{number}") for number in range(15)]
        assert statuses == [200] * 15
        # What a client says itself stands before what the proxies append.
        statuses = [
            await asked(base, "/healthz", f"203.0.113.{number}, 198.51.100.7", "192.0.2.9") for number in range(11)
        ]
        assert statuses == [200] * 10 + [429]


async def test_what_is_no_address_is_the_proxys_own(pool: Pool, database: str, office: Office) -> None:
    async with serve(app_behind(pool, database, office, ["127.0.0.1"])) as base:
        said = ["<b>me</b>", "unknown", "fe80::1%<b>", "", "203.0.113.1, _hidden"] * 2
        assert [await asked(base, "/healthz", each) for each in said] == [200] * 10
        assert await asked(base, "/healthz") == 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        ([], [], 200),
        ([], ["127.0.0.1"], 401),
        ([], ["203.0.113.7"], 401),
        (["127.0.0.1"], ["203.0.113.7"], 401),
        (["127.0.0.1"], ["127.0.0.1, 203.0.113.7"], 401),
        (["127.0.0.1"], ["192.0.2.5"], 200),
    ],
)
async def test_metrics_are_for_who_really_asks(
    pool: Pool, database: str, office: Office, proxies: list[str], forwarded: list[str], status: int
) -> None:
    app = app_behind(pool, database, office, proxies, ("127.0.0.1", "192.0.2.5"))
    async with serve(app) as base:
        assert await asked(base, "/metrics", *forwarded) == status


def test_what_is_no_network_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"server\.toml.*trusted_proxies: 'proxy' does not appear"):
        from_toml(ServerSettings, '[api]\ntrusted_proxies = ["proxy"]\n', "server.toml")
    assert from_toml(ServerSettings, '[api]\ntrusted_proxies = ["10.0.0.1/8"]\n', "x").api.trusted_proxies


def test_a_proxy_that_is_not_trusted_is_warned_of() -> None:
    with capture_logs() as lines:
        warn_of_proxies(ApiSettings())
        warn_of_proxies(ApiSettings(public_url="https://telemetry.example", trusted_proxies=["192.0.2.8"]))
        assert lines == []
        warn_of_proxies(ApiSettings(public_url="https://telemetry.example"))
    assert "api.trusted_proxies" in lines[0]["event"]
