"""Settings of the uplink."""

from dataclasses import dataclass
from pathlib import Path

from wayside_shared.settings import setting

FOLDER = Path("/var/lib/wayside/identity")
"""In the agent's own folder, because the agent itself puts renewed certificates there."""


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """`[uplink]`: where the broker is, and who this device is. `wayside-edge enroll` writes it."""

    host: str = setting("Broker's host name or address, as its certificate names it.", sample="telemetry.example")
    device: str = setting(
        "This device's name, as its certificate has it; wayside-edge enroll writes it.",
        sample="boiler-7",
        pattern=r"[a-z0-9][a-z0-9-]{2,62}",
    )
    port: int = setting("Broker's TLS port.", 8883, minimum=1, maximum=65535)
    ca_file: Path = setting("PEM file of the CA certificates to trust.", FOLDER / "ca.pem")
    cert_file: Path = setting("PEM file of this device's certificate and its intermediate.", FOLDER / "device.pem")
    key_file: Path = setting("PEM file of this device's private key, mode 0600.", FOLDER / "device.key")
    window: int = setting("Most batches sent and not yet acknowledged.", 64, minimum=1, maximum=64)
    keepalive_s: int = setting(
        "MQTT keep-alive in seconds; a dead link is noticed within 1.5 times this.", 30, minimum=5, maximum=600
    )
    reconnect_s: float = setting(
        "Longest pause before another attempt to connect, in seconds. Pauses grow up to it, each by lot, so that"
        " devices that lost a broker together do not come back together; all are back within a minute.",
        45.0,
        minimum=1.0,
        maximum=60.0,
    )
    drain_s: float = setting("On a stop, how long to go on delivering, in seconds.", 5.0, minimum=0.0, maximum=300.0)
