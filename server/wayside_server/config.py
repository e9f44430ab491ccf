"""The server's settings: `server.toml` in the installation's folder."""

from dataclasses import dataclass

from wayside_server.domain.addresses import networks_of
from wayside_server.domain.limits import DeviceLimits
from wayside_server.domain.rates import RateLimits
from wayside_server.errors import ConfigError
from wayside_server.identity.home import Home, read_whole, write_whole
from wayside_server.identity.oidc_settings import OidcSettings
from wayside_shared.settings import from_toml, setting

MIN_CONNECTIONS = 10
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - devices and browsers come from elsewhere


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`[database]`."""

    url: str | None = setting(
        "PostgreSQL 15 or newer, as postgresql://user@host/name; none runs one of our own in the home folder.",
        None,
        sample="postgresql://wayside@db.example/wayside",
    )
    reader_url: str | None = setting(
        "The same database for who only reads: a login that may become wayside_app and nobody else. None reads with the"
        " login of `url`; a PostgreSQL of our own has one without being told.",
        None,
        sample="postgresql://wayside_reader@db.example/wayside",
    )


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """`[broker]`."""

    host: str = setting("Where ingest finds the broker, as the broker's certificate names it.", "127.0.0.1")
    port: int = setting("The broker's TLS port.", 8883, minimum=1, maximum=65535)
    listen: str = setting("Address that the broker's configuration listens on.", ANY_ADDRESS)
    public_host: str = setting("Where devices find the broker; told to them when they enrol.", "localhost")


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`[api]`."""

    host: str = setting("Address to serve the API, the console and enrolment on.", ANY_ADDRESS)
    port: int = setting("Its TLS port.", 8443, minimum=1, maximum=65535)
    public_host: str = setting("Name under which people and devices reach it; links use it.", "localhost")
    metrics_from: list[str] = setting(
        "Addresses that may read /metrics without a key, when no proxy has passed it on.",
        factory=lambda: ["127.0.0.1", "::1"],
    )
    connections: int = setting(
        "HTTP connections open at a time; further ones are closed at once. A browser keeps two or three; each takes"
        " some 50 KB.",
        1_000,
        minimum=MIN_CONNECTIONS,
        maximum=100_000,
    )
    connections_per_address: int | None = setting(
        "Of them, how many one network address may have, or all IPv6 addresses of one /64; further ones are closed at"
        " once. None is a quarter of connections, at least 10. Trusted proxies may have all.",
        None,
        minimum=1,
        maximum=100_000,
        sample=250,
    )
    trusted_proxies: list[str] = setting(
        "Addresses, or networks, of proxies before the API: of what they pass on, the client is the last address in"
        " X-Forwarded-For that is none of theirs. Nobody else is believed.",
        factory=list,
        sample=["192.0.2.8", "2001:db8::/64"],
    )
    public_url: str | None = setting(
        "Where boards and people reach the API when a proxy with a publicly trusted certificate stands before it; none"
        " is public_host and port, with the certificate of the installation's own CA.",
        None,
        sample="https://telemetry.example",
    )
    send_timeout_s: float = setting(
        "Seconds that a reader has for what waits for it, 128 KB or a little more; then it is cut off and its export or"
        " live stream makes room for another. 60 s are 2 KB/s.",
        60.0,
        minimum=1.0,
        maximum=3600.0,
    )

    def __post_init__(self) -> None:
        try:
            networks_of(self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"trusted_proxies: {error}; write addresses, or networks as 192.0.2.0/24") from error

    @property
    def of_address(self) -> int:
        """How many connections one address may have."""
        return self.connections_per_address or max(MIN_CONNECTIONS, self.connections // 4)

    @property
    def direct_url(self) -> str:
        """Where the API is reached with the certificate of the installation's own CA."""
        host = f"[{self.public_host}]" if ":" in self.public_host else self.public_host
        return f"https://{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where boards and people reach the API."""
        return self.public_url or self.direct_url


@dataclass(frozen=True, slots=True)
class EnrolmentSettings:
    """`[enrolment]`."""

    certificate_days: int = setting("Life of a device's certificate, in days.", 90, minimum=1, maximum=3650)
    token_hours: float = setting(
        "Life of an enrolment token when nothing else is asked for, in hours.", 24.0, minimum=0.01, maximum=720.0
    )


@dataclass(frozen=True, slots=True)
class RevocationSettings:
    """`[revocation]`."""

    list_days: float = setting(
        "Life of the revocation list, in days; it is renewed when a seventh has passed. A broker with an expired list"
        " refuses every device, so this is how long the server may be down while the broker runs.",
        7.0,
        minimum=0.1,
        maximum=90.0,
    )


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """`[ingest]`."""

    sessions: int = setting("Ingest sessions that `wayside-server run` starts.", 1, minimum=1, maximum=8)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The whole file."""

    database: DatabaseSettings = setting("Where everything is stored.", factory=DatabaseSettings)
    broker: BrokerSettings = setting("The MQTT broker.", factory=BrokerSettings)
    api: ApiSettings = setting("REST API, console and enrolment.", factory=ApiSettings)
    enrolment: EnrolmentSettings = setting("Tokens and certificates.", factory=EnrolmentSettings)
    revocation: RevocationSettings = setting("Of certificates.", factory=RevocationSettings)
    ingest: IngestSettings = setting("From the broker to the database.", factory=IngestSettings)
    oidc: OidcSettings = setting("Single sign-on.", factory=OidcSettings)
    limits: DeviceLimits = setting("What one device may take up.", factory=DeviceLimits)
    rates: RateLimits = setting(
        "How often somebody may ask the API and the console, and devices may send.", factory=RateLimits
    )


def load(home: Home) -> ServerSettings:
    """The settings of the installation in `home`.

    Raises:
        ConfigError: `init` has not been run there, or something in the file is wrong; one line with the fix.
    """
    try:
        text = read_whole(home.settings_file).decode()
    except UnicodeDecodeError as error:
        raise ConfigError("it is not UTF-8", source=str(home.settings_file)) from error
    except ConfigError as error:
        if home.settings_file.exists():
            raise
        raise ConfigError(f"{home.path} holds no installation; run wayside-server init --home {home.path}") from error
    settings = from_toml(ServerSettings, text, str(home.settings_file))
    if settings.database.reader_url is not None and settings.database.url is None:
        raise ConfigError("database.reader_url needs database.url; set both or none", source=str(home.settings_file))
    return settings


def refuse_others(home: Home, *, listen: str | None, broker_port: int | None, api_port: int | None) -> None:
    """Refuses arguments of `init` that an installation's settings contradict.

    Raises:
        ConfigError: `server.toml` says something else, or is broken.
    """
    if not home.settings_file.exists():
        return
    settings = load(home)
    found = (settings.broker.listen, settings.broker.port, settings.api.port)
    for name, given, kept in zip(
        ("--listen", "--broker-port", "--api-port"), (listen, broker_port, api_port), found, strict=True
    ):
        if given not in (None, kept):
            raise ConfigError(f"{name} {given}: {home.settings_file} has {kept}; change it there, then run init again")


def ensure(home: Home, *, public_host: str, listen: str | None, broker_port: int | None, api_port: int | None) -> None:
    """Writes `server.toml` when there is none.

    Raises:
        ConfigError: there is one and it says something else than the arguments.
    """
    refuse_others(home, listen=listen, broker_port=broker_port, api_port=api_port)
    if home.settings_file.exists():
        return
    defaults = ServerSettings()
    text = f"""# Settings of wayside-server. What is not here has its default: docs/reference/server-settings.md
[broker]
port = {broker_port or defaults.broker.port}
listen = "{listen or defaults.broker.listen}"
public_host = "{public_host}"

[api]
host = "{listen or defaults.api.host}"
port = {api_port or defaults.api.port}
public_host = "{public_host}"
"""
    from_toml(ServerSettings, text, "the arguments")
    write_whole(home.settings_file, text.encode(), mode=0o600)
