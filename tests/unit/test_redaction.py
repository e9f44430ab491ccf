"""Canaries: no secret gets through, and what is none stays."""

import time

import pytest

from wayside_edge.health.redaction import HIDDEN, redact, secrets_in

CANARY = "c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary0"
"""As long as Wayside's own secrets: 43 letters of base64url."""


@pytest.mark.parametrize(
    "text",
    [
        f"wayside-edge enroll https://server:8443 {CANARY}",
        f"wsk_abcdefgh_{CANARY}",
        f"Authorization: Bearer {CANARY}",
        f'{{"authorization": "Basic {CANARY}"}}',
        f"postgresql://wayside:{CANARY}@db/wayside",
        f"mqtts://{CANARY}@broker:8883",
        f'password = "{CANARY} with blanks"',
        f"'passwd': '{CANARY}'",
        f"mqtt_password={CANARY}",
        f"PASSPHRASE: {CANARY}",
        f'api_key = "{CANARY}"',
        f"access-key={CANARY}&x=1",
        f"psk={CANARY}",
        f"--token {CANARY}",
        f'tokens = ["x", "{CANARY}"]',
        f'password = "a\\"{CANARY}"',
        f'password = """\nx\n{CANARY}\n"""',
        f"{{'user': 'me', 'client_secret': '{CANARY}'}}",
        f'password = "{CANARY} with blanks',
        f'password = "{CANARY}\\',
        f"\napi_key = {CANARY} with blanks",
        f"mqtt://user:p@ss/{CANARY}@host",
        f"https://user:a@{CANARY}@host",
        f'pass = "{CANARY}"',
        f"pwd={CANARY}",
        f"Cookie: session={CANARY}; other={CANARY}",
        f"{{'password': b'{CANARY}'}}",
        f'{{\\"password\\": \\"{CANARY}\\"}}',
        f'Token = {{a="{CANARY}"}}',
        f"secret: |\n  first\n  {CANARY}\n",
        "eyJhbGciOiJIUzI1NiJ9.eyJ" + CANARY[:20] + "." + CANARY,
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
        f"-----BEGIN EC PRIVATE KEY-----\n{CANARY}\n",
    ],
)
def test_a_secret_is_hidden(text: str) -> None:
    told = redact(f"before {text}")
    assert told.startswith("before ")
    assert HIDDEN in told
    assert CANARY not in told
    assert "with blanks" not in told


@pytest.mark.parametrize(
    "text",
    [
        'key_file = "/etc/wayside/device.key"',
        "sensor roof began to fail: no chip answers at 0x76",
        "broker 127.0.0.1:8883 cannot be reached: Connection refused",
        "see https://wayside.example/docs/how-to, and https://host:8443/a@b",
        "uplink down: /etc/wayside/ca.pem is missing",
        "a" * 64,
        "line = 17, edge = rising",
        "authority = x, bypass = 5",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "token",
        "token=[ ",
        'password="\n',
        "token='''x ",
        "token={",
        'token\\"',
        "x://a:",
        "secret: |\n a\n",
        "-----BEGIN ",
    ],
)
def test_a_long_text_takes_no_long_time(piece: str) -> None:
    """What is never closed is not looked for to the end of the text from each of its beginnings."""
    began_s = time.process_time()
    redact(piece * (400_000 // len(piece)))
    assert time.process_time() - began_s < 3.0


def test_secrets_of_a_configuration_are_hidden_wherever_they_stand() -> None:
    values = {
        "uplink": {"key_file": "/etc/wayside/device.key", "device": "boiler-7"},
        "bus": [{"name": "main", "password": "hunter22"}],
        "x": {"tokens": ["first-token", {"deep": "second-token"}], "secret": "abc", "psk": 5},
    }
    assert secrets_in(values) == {"hunter22", "first-token", "second-token"}
    assert redact("it said hunter22 twice: hunter22", {"hunter22"}) == "it said [hidden] twice: [hidden]"
