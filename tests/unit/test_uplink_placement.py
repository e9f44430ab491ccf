"""`[uplink]` is written into files that people wrote; nothing else in them changes."""

import json
import tomllib
from pathlib import Path

import pytest

from wayside_edge import config
from wayside_edge.errors import ConfigError
from wayside_edge.uplink.placement import place_uplink
from wayside_edge.uplink.settings import UplinkSettings

UPLINK = UplinkSettings(
    host="broker.example", port=8884, device="boiler-7", ca_file=Path('/x/"odd" \\ name/ca.pem'), key_file=Path("/é")
)
OWN = {
    "host": "broker.example",
    "port": 8884,
    "device": "boiler-7",
    "ca_file": '/x/"odd" \\ name/ca.pem',
    "cert_file": "/var/lib/wayside/identity/device.pem",
    "key_file": "/é",
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "[uplink]",
        '[uplink]\nhost = "old"\nport = 1\ndevice="x"\n',
        "[ uplink ] # spaced\nwindow = 8\n[outbox]\nquota_mb = 9\n",
        "[[sensor]]\nkind = 'host'\n[sensor.options]\nhost = 'kept'\n\n[uplink]\n# note\nhost = ''\n[[sensor]]",
        "[uplinked]\nhost = 'kept'\n",
        "text = '''\nnot a [table]\n'''\n[batch]\nmax_age_s = 1.0\n",
    ],
)
def test_only_the_six_keys_change(text: str) -> None:
    before = tomllib.loads(text)
    result = place_uplink(text, UPLINK, "edge.toml")
    assert tomllib.loads(result) == before | {"uplink": before.get("uplink", {}) | OWN}
    assert [line for line in text.splitlines() if "#" in line and line not in result] == []
    assert place_uplink(result, UPLINK, "edge.toml") == result


@pytest.mark.parametrize(
    "text",
    [
        "uplink = 3",
        "uplink.host = 'x'",
        "uplink = {host = 'x'}",
        "[uplink]\nhost = '''\nold\n'''\n",
        "[uplink.more]\nx = 1\n[uplink]\n'host' = 'x'",
        "[[uplink]]\nhost = 'x'",
        "[uplink",
    ],
)
def test_what_cannot_be_edited_by_line_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"edge\.toml"):
        place_uplink(text, UPLINK, "edge.toml")


def test_values_stand_under_their_own_comments() -> None:
    lines = place_uplink(config.sample(), UPLINK, "edge.toml").splitlines()
    for key, comment in (
        ("host", "# Broker's host name"),
        ("port", "# Broker's TLS port"),
        ("ca_file", "# PEM file of the CA"),
        ("key_file", "# PEM file of this device's private key"),
    ):
        (at,) = [number for number, line in enumerate(lines) if line.lstrip("# ").startswith(f"{key} =")]
        assert lines[at] == f"{key} = {json.dumps(OWN[key], ensure_ascii=False)}"
        assert any(line.startswith(comment) for line in lines[at - 2 : at])
    assert len(lines) == len(config.sample().splitlines())


def test_a_sentence_that_looks_like_a_setting_stays() -> None:
    text = "[uplink]\n# host = the old broker until May\n# port = 1883\n"
    result = place_uplink(text, UPLINK, "edge.toml")
    assert "# host = the old broker until May" in result.splitlines()
    assert "# port = 1883" not in result
