"""The line that people type, run in Debian systems of their own: features.md row 112, reliability.md rows 29 and 30."""

import re
import tarfile
from pathlib import Path

import pytest

from install.machine import Debian, booted, plain, root
from install.site import Site
from install.versions import offering
from wayside_testkit.packages import make_wheel

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]

ARM = root("arm64").with_suffix(".made").exists()
SCRIPT = "/opt/wayside/install.sh"
TRUST_CLOCK = (
    # A container has its host's clock and cannot say whether it is synchronised.
    "printf '\\n[clock]\\ntrust_system = true\\n' >/tmp/clock && sed -i '/^\\[clock\\]/,/^$/d' /etc/wayside/edge.toml"
    " && cat /tmp/clock >>/etc/wayside/edge.toml && systemctl restart wayside-edge"
)


def files(debian: Debian) -> str:
    """All that an installation could touch, with owners, modes and times."""
    places = "/etc /opt /usr/lib/systemd /var/lib/wayside"
    return debian.must(
        f"find {places} -xdev -not -name 'outbox*' -printf '%p %u %m %y %l %s %T@\\n' 2>/dev/null | sort"
    )


def plainly(site: Site, options: str) -> str:
    """The line of a site that has compared what it downloads by other means."""
    return f"curl -fsSk {site.url}/install.sh | sh -s -- {options}"


def test_one_line_makes_a_machine_a_device_and_undoes_it(site: Site, tmp_path: Path) -> None:
    with booted(tmp_path) as debian:
        untouched = files(debian)
        would = debian.must(plainly(site, "--dry-run"))
        assert "would: make the user wayside" in would
        assert files(debian) == untouched

        line = site.line("one-line")
        said = debian.must(line)
        assert "enrolled as one-line" in said
        assert "- start the service" in said
        assert "token" not in debian.must("cat /opt/wayside/install.sh /etc/wayside/edge.toml | grep -i wst1. || true")
        made_as_it_should_be(debian)
        the_service_is_guarded(debian)
        nothing_listens(debian)
        debian.must(TRUST_CLOCK)
        assert site.stored("one-line") > 0

        before = files(debian)
        again = debian.must(line)
        assert "nothing was changed" in again
        assert "- " not in again
        assert files(debian) == before

        assert "Kept: /etc/wayside" in debian.must(f"sh {SCRIPT} --uninstall")
        debian.must("test -e /var/lib/wayside/identity/device.key && test ! -e /opt/wayside")
        debian.must("! systemctl is-active wayside-edge")
        assert "nothing was changed" in debian.must(plainly(site, "--uninstall"))
        # The identity is still there, so no token is needed.
        assert "- start the service" in debian.must(plainly(site, ""))
        debian.must(f"sh {SCRIPT} --uninstall --purge")
        logs = "-not -path '/proc/*' -not -path '/var/log/*'"
        assert debian.must(f"find / -xdev -iname '*wayside*' {logs}") == ""
        assert "no such user" in debian.run("id wayside").stdout


def made_as_it_should_be(debian: Debian) -> None:
    places = "/etc/wayside /etc/wayside/* /var/lib/wayside /var/lib/wayside/identity/*"
    modes = debian.must(f"stat -Lc '%n %U:%G %a' {places}").splitlines()
    assert "/etc/wayside wayside:wayside 700" in modes
    assert "/var/lib/wayside/identity/device.key wayside:wayside 600" in modes
    assert "/var/lib/wayside wayside:wayside 700" in modes
    assert debian.must("find /opt/wayside -not -user root -o -not -type l -perm /022") == ""
    assert debian.must("getent passwd wayside | cut -d: -f6-") == "/var/lib/wayside:/usr/sbin/nologin"
    assert set(debian.must("id -nG wayside").split()) == {"wayside", "i2c", "spi", "gpio", "dialout"}
    assert 'GROUP="spi"' in debian.must("cat /etc/udev/rules.d/60-wayside.rules")


def the_service_is_guarded(debian: Debian) -> None:
    """Row 29: own user, watchdog, restart policy, hardening; by the systemd that runs it."""
    wanted = "User,WatchdogUSec,Restart,NoNewPrivileges,ProtectSystem,DevicePolicy,ActiveState"
    shown = dict(line.split("=", 1) for line in debian.must(f"systemctl show -p {wanted} wayside-edge").splitlines())
    assert shown == {
        "User": "wayside",
        "WatchdogUSec": "30s",
        "Restart": "always",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "DevicePolicy": "closed",
        "ActiveState": "active",
    }
    assert debian.must("systemctl is-enabled wayside-edge") == "enabled"
    exposure = debian.must("systemd-analyze security --no-pager wayside-edge.service | tail -n 1")
    found = re.search(r"([\d.]+) \w+", exposure)
    assert found is not None
    assert float(found[1]) <= 2.0, exposure


def nothing_listens(debian: Debian) -> None:
    """Row 30: the agent's only socket that takes connections is a local one."""
    pid = debian.must("systemctl show -p MainPID --value wayside-edge")
    sockets = debian.must(f"ls -l /proc/{pid}/fd | sed -n 's/.*socket:\\[\\([0-9]*\\)\\].*/\\1/p'").split()
    assert sockets
    listening = debian.must("cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\" { print $10 }'").split()
    datagrams = debian.must("cat /proc/net/udp /proc/net/udp6 | awk 'NR > 1 { print $10 }'").split()
    assert set(sockets).isdisjoint([*listening, *datagrams])


def test_upgrades_are_taken_back_when_they_do_not_run(site: Site, tmp_path: Path) -> None:
    with booted(tmp_path) as debian:
        debian.must(site.line("upgrading"))
        first = debian.must("readlink /opt/wayside/current")
        identity = debian.must("sha256sum /var/lib/wayside/identity/device.key /etc/wayside/edge.toml")

        with offering(site.shelf, "9.1", {"wayside_edge/commands/check_config.py": "raise SystemExit(78)\n"}):
            assert "run this again with --upgrade" in debian.must(plainly(site, ""))
            ended = debian.run(f"sh {SCRIPT} --upgrade")
            assert ended.returncode == 1
            assert "does not take this board's configuration" in ended.stdout
            assert debian.must("readlink /opt/wayside/current") == first

        with offering(site.shelf, "9.2", {"wayside_edge/app.py": "raise SystemExit(1)\n"}):
            ended = debian.run(f"sh {SCRIPT} --upgrade")
            assert ended.returncode == 1
            assert "Upgrade undone" in ended.stdout
            assert debian.must("readlink /opt/wayside/current") == first
            assert debian.must("systemctl is-active wayside-edge") == "active"

        make_wheel(debian.shared, "acme17", "1.0")
        debian.must("mkdir /opt/wayside/wheels && cp /shared/acme17*.whl /opt/wayside/wheels")
        with offering(site.shelf, "9.3", {}):
            assert "- start the service" in debian.must(f"sh {SCRIPT} --upgrade")
            debian.must("/opt/wayside/current/bin/python -c 'import acme17'")
            assert debian.must("/opt/wayside/bin/wayside-edge --version") == "wayside-edge 9.3"
            assert debian.must("systemctl is-active wayside-edge") == "active"
            assert "nothing was changed" in debian.must(f"sh {SCRIPT} --upgrade")
            # As after an upgrade that was cut off: the link is moved, the old version still runs.
            debian.must(f"ln -sfn {first} /opt/wayside/current && systemctl restart wayside-edge")
            debian.must("cd /opt/wayside && ln -sfn versions/$(ls versions | grep 9.3) current")
            assert "- start the service" in debian.must(f"sh {SCRIPT} --upgrade")
        assert debian.must("sha256sum /var/lib/wayside/identity/device.key /etc/wayside/edge.toml") == identity
        kept = debian.must("ls /opt/wayside/versions").split()
        assert len(kept) == 2, "the version before is kept, and no other"


def test_a_bundle_installs_without_a_network_and_enrols_when_there_is_one(site: Site, tmp_path: Path) -> None:
    with booted(tmp_path, network=False) as debian:
        site.command("packages", "export", str(debian.shared / "bundle.tar.gz"))
        with tarfile.open(debian.shared / "bundle.tar.gz") as archive:
            folder = archive.getnames()[0].split("/")[0]
        debian.must("cd /shared && sha256sum -c bundle.tar.gz.sha256 && tar xzf bundle.tar.gz")
        here = f"cd /shared/{folder} && sh install.sh --bundle ."
        assert "is installed" in debian.must(f"{here} --no-enrol")
        token = site.command("token", "create", "--name", "offline")[0]
        (debian.shared / "token").write_text(token)
        ended = debian.run(f"{here} --token-file /shared/token")
        assert ended.returncode == 1
        assert "Not enrolled" in ended.stdout
        assert "enrolled as offline" in debian.must(f"{here} --token-file /shared/token", network=True)
        debian.must("systemctl is-active wayside-edge")

        debian.must(f"rm -rf /opt/wayside; for f in /shared/{folder}/files/cryptography*; do echo >>$f; done")
        ended = debian.run(here)
        assert ended.returncode == 1
        assert "the bundle is damaged" in ended.stdout
        debian.must("test ! -e /opt/wayside/versions")


@pytest.mark.skipif(not ARM, reason="no arm64 system; make test-install says why")
def test_a_board_with_another_processor(site: Site, tmp_path: Path) -> None:
    debian = plain(tmp_path, "arm64")
    assert debian.must("python3 -c 'import platform; print(platform.machine())'") == "aarch64"
    said = debian.must(site.line("arm").replace("sudo ", ""))
    assert "enrolled as arm" in said
    assert "this system does not run systemd" in said
    assert "everything is as it should be" in debian.must(plainly(site, ""))
    assert "right: 1 sensor" in debian.must(
        "runuser -u wayside -- /opt/wayside/bin/wayside-edge check-config --config /etc/wayside/edge.toml"
    )
    imported = "import cbor2, cryptography.x509, gpiod, lgpio, paho.mqtt.client, smbus2"
    debian.must(f"/opt/wayside/current/bin/python -c '{imported}'")
    assert "remove the user" in debian.must(f"sh {SCRIPT} --uninstall --purge")


def test_what_is_not_whole_or_not_the_servers_does_nothing(site: Site, tmp_path: Path) -> None:
    debian = plain(tmp_path, "amd64")
    untouched = files(debian)
    line = site.line("never")
    pin = re.search(r"sha256//(\S+)=", line)
    assert pin is not None
    other = ("A" if pin[1][0] != "A" else "B") + pin[1][1:]
    assert "public key does not match" in debian.run(line.replace(pin[1], other)).stdout
    # A download that is cut off anywhere, also within the last line.
    debian.must(f"curl -fsSk {site.url}/install.sh >/tmp/whole && mkdir /tmp/cut")
    debian.must("for n in $(seq 1 7 $(($(wc -l </tmp/whole) - 1))); do head -n $n /tmp/whole >/tmp/cut/$n; done")
    debian.must("for n in $(seq 2 40); do head -c -$n /tmp/whole >/tmp/cut/less-$n; done")
    debian.run("for part in /tmp/cut/*; do sh $part --no-enrol </dev/null >/dev/null 2>&1; done")
    refused = debian.run(f"curl -fsSk {site.url}/install.sh | runuser -u nobody -- sh")
    assert "put sudo before sh" in refused.stdout
    assert refused.returncode == 1
    assert files(debian) == untouched
