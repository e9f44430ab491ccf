"""Keys that never leave a PKCS#11 token: made there, enrolled, and shown to a real broker (row 12).

Each test that uses TLS or PKCS#11 runs in a process of its own: the library keeps a token open for the process's life.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wayside_edge.config import load
from wayside_edge.errors import ConfigError
from wayside_edge.identity.settings import TokenSettings
from wayside_testkit.agent import TRUSTED, agent_process, outbox_table
from wayside_testkit.broker import Broker
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.est_server import FakeEst, serving_est

pytest_plugins = ["wayside_testkit.soft_token"]


@pytest.fixture
def est(credentials: CredentialsFactory) -> Iterator[FakeEst]:
    with serving_est(FakeEst(credentials)) as served:
        yield served


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ}, check=False
    )


def enroll(folder: Path, est: FakeEst, token: TokenSettings) -> subprocess.CompletedProcess[str]:
    return run(
        *("-m", "wayside_edge", "enroll", est.url, est.token("boiler-7"), "--config", str(folder / "edge.toml")),
        *("--dir", str(folder / "identity"), "--key", token.uri, "--pin-file", str(token.pin_file)),
        *("--pkcs11-module", str(token.module)),
    )


ATTRIBUTES = """
import json, sys
import pkcs11
from pkcs11 import Attribute, ObjectClass
token = pkcs11.lib(sys.argv[1]).get_token(token_label="wayside test")
with token.open(user_pin="314159") as session:
    keys = list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    print(json.dumps([[key[a] for a in (Attribute.EXTRACTABLE, Attribute.SENSITIVE, Attribute.LOCAL)] for key in keys]))
"""


def private_keys(token: TokenSettings) -> list[list[bool]]:
    """Of each private key in the token: whether it can be taken out, is kept secret, and was made there."""
    found: list[list[bool]] = json.loads(run("-c", ATTRIBUTES, str(token.module)).stdout)
    return found


async def test_the_agent_shows_a_key_that_cannot_leave_its_token_row_12(
    tmp_path: Path, broker: Broker, est: FakeEst, soft_token: TokenSettings
) -> None:
    est.broker = f"{broker.host}:{broker.port}"
    done = enroll(tmp_path, est, soft_token)
    assert done.returncode == 0, done.stderr
    assert private_keys(soft_token) == [[False, True, True]]
    assert not list((tmp_path / "identity").rglob("*.key"))
    file = tmp_path / "edge.toml"
    text = file.read_text().replace("[outbox]", outbox_table(tmp_path / "outbox.db")).replace("[clock]", TRUSTED)
    text = text.replace("# drain_s = 5.0", "drain_s = 0.2")  # nobody stores what it sends
    file.write_text(text)
    async with agent_process(file) as agent:
        await agent.says("uplink up")
        assert agent.troubles == []
    found = run("-m", "wayside_edge", "doctor", "--json", "--config", str(file)).stdout
    assert f"{broker.host}:{broker.port} takes this device" in found
    assert run("-m", "wayside_edge", "check-config", "--config", str(file)).returncode == 0


def test_a_certificate_for_a_key_in_a_token_is_renewed(tmp_path: Path, est: FakeEst, soft_token: TokenSettings) -> None:
    assert enroll(tmp_path, est, soft_token).returncode == 0
    settings = load(tmp_path / "edge.toml")
    question = {
        "do": "renew",
        "expired": False,
        "server": est.url,
        "device": "boiler-7",
        "rotate_key": True,
        "token": soft_token.values(),
        "files": {
            "ca_file": str(settings.uplink.ca_file), "cert_file": str(settings.uplink.cert_file), "key_file": None
        },
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "wayside_edge.identity.worker"],
        input=json.dumps(question), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout).get("issued", {}).get("serial") == est.issued[-1].serial_number, done.stdout
    assert len(private_keys(soft_token)) == 1  # the key stays: only its certificate is new


def test_reset_destroys_the_key_in_the_token_row_33(tmp_path: Path, est: FakeEst, soft_token: TokenSettings) -> None:
    assert enroll(tmp_path, est, soft_token).returncode == 0
    file = tmp_path / "edge.toml"
    file.write_text(file.read_text().replace("[outbox]", outbox_table(tmp_path / "outbox.db")))
    done = run("-m", "wayside_edge", "reset", "--yes", "--config", str(file))
    assert done.returncode == 0, done.stderr
    assert private_keys(soft_token) == []


def test_a_pin_that_others_can_read_is_refused(soft_token: TokenSettings) -> None:
    soft_token.pin_file.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {soft_token.pin_file}"):
        soft_token.pin()


@pytest.mark.parametrize(
    ("wrong", "said"), [("pin", "does not take the PIN"), ("token", "there is not one token"), ("module", "refuses")]
)
def test_what_is_wrong_with_a_token_is_told(
    tmp_path: Path, est: FakeEst, soft_token: TokenSettings, wrong: str, said: str
) -> None:
    uri, module = soft_token.uri, soft_token.module
    if wrong == "pin":
        soft_token.pin_file.write_text("0000")
    elif wrong == "token":
        uri = "pkcs11:token=other;object=device"
    else:
        module = Path("/usr/lib/nowhere.so")
    done = enroll(tmp_path, est, TokenSettings(uri, soft_token.pin_file, module))
    assert done.returncode != 0
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "314159" not in done.stderr
