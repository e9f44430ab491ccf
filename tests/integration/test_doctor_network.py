"""What `wayside-edge doctor` says of the way to a real broker."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wayside_edge.__main__ import main
from wayside_edge.commands.doctor import network
from wayside_edge.commands.doctor.finding import Finding, Level
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.enrolment import new_token
from wayside_testkit.broker import Broker, running_broker
from wayside_testkit.credentials import Credentials, CredentialsFactory

CLOCK = SystemClock(ClockSettings(trust_system=True))


def uplink(who: Credentials, port: int, host: str = "localhost") -> UplinkSettings:
    return UplinkSettings(
        host=host, port=port, device=who.name, ca_file=who.ca_file, cert_file=who.cert_file, key_file=who.key_file
    )


def examined(settings: UplinkSettings) -> list[Finding]:
    return list(network.examine(settings, CLOCK))


def test_a_device_that_the_broker_takes(broker: Broker, credentials: CredentialsFactory) -> None:
    found = examined(uplink(credentials.device("boiler-7"), broker.port))
    assert [(finding.area, finding.level) for finding in found] == [
        ("enrolment", Level.OK),
        ("broker", Level.OK),
        ("broker", Level.OK),
    ]
    assert found[-1].what.startswith(f"localhost:{broker.port} takes this device; its own certificate is good until ")
    assert "boiler-7" not in broker.log()  # no session was begun, which would have ended the agent's


def test_a_device_of_another_authority(broker: Broker, tmp_path: Path, credentials: CredentialsFactory) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    stranger = dataclasses.replace(CredentialsFactory(folder).device("boiler-7"), ca_file=credentials.ca_file)
    last = examined(uplink(stranger, broker.port))[-1]
    assert last.level is Level.PROBLEM
    assert "refuses this device over TLS" in last.what


def test_a_device_whose_certificate_is_good_no_longer(broker: Broker, credentials: CredentialsFactory) -> None:
    ended = credentials.device("boiler-8", days=1, now=datetime.now(UTC) - timedelta(days=3))
    last = examined(uplink(ended, broker.port))[-1]
    assert last.what.endswith("refuses this device over TLS: this device's certificate has ended")
    assert "renew it on the page Enrol" in last.fix
    revoked = credentials.device("boiler-7")
    credentials.revoke(revoked)
    broker.restart()
    last = examined(uplink(revoked, broker.port))[-1]
    assert last.what.endswith("refuses this device over TLS: this device's certificate was revoked")
    assert last.fix == "it was revoked; ask who runs the server"


def test_a_broker_of_another_authority(broker: Broker, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    last = examined(uplink(CredentialsFactory(folder).device("boiler-7"), broker.port))[-1]
    assert last.level is Level.PROBLEM
    assert "its certificate is not to be trusted" in last.what


def test_a_broker_by_another_name(tmp_path: Path, credentials: CredentialsFactory) -> None:
    with running_broker(tmp_path, credentials, server=credentials.server(("elsewhere.example",))) as broker:
        last = examined(uplink(credentials.device("boiler-7"), broker.port))[-1]
    assert last.level is Level.PROBLEM
    assert last.fix.startswith("on the server: wayside-server init --host localhost")


def test_a_broker_whose_certificate_ends_soon(tmp_path: Path, credentials: CredentialsFactory) -> None:
    server = credentials.server(now=datetime.now(UTC) - timedelta(days=80))
    with running_broker(tmp_path, credentials, server=server) as broker:
        last = examined(uplink(credentials.device("boiler-7"), broker.port))[-1]
    assert (last.level, last.fix) == (Level.WARNING, "on the server: wayside-server init")


def test_nothing_listens(credentials: CredentialsFactory) -> None:
    last = examined(uplink(credentials.device("boiler-7"), 1, "127.0.0.1"))[-1]
    assert (last.level, last.area) == (Level.PROBLEM, "broker")
    assert "127.0.0.1:1 cannot be reached" in last.what


def test_a_name_without_an_address(credentials: CredentialsFactory) -> None:
    last = examined(uplink(credentials.device("boiler-7"), 8883, "broker.invalid"))[-1]
    assert last.what.startswith("the name broker.invalid has no address")


def test_a_device_that_is_not_enrolled(broker: Broker, credentials: CredentialsFactory) -> None:
    who = credentials.device("boiler-7")
    who.cert_file.unlink()
    first, *_, last = examined(uplink(who, broker.port))
    assert (first.area, first.level, first.fix) == ("enrolment", Level.PROBLEM, network.ENROL)
    assert "TLS was not tried" in last.what


def test_enrolling_at_the_brokers_port(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str], credentials: CredentialsFactory
) -> None:
    token = str(new_token(credentials.authority.fingerprint))
    words = ["enroll", f"https://127.0.0.1:{broker.port}", token, "--dir", str(tmp_path / "identity")]
    assert main([*words, "--config", str(tmp_path / "edge.toml")]) == 1
    said = capsys.readouterr().err
    assert "is that the server's own HTTPS port, 8443 unless somebody chose another, rather than the broker's?" in said
    assert "_ssl.c" not in said
