"""The script that installs boards, and the line that people are shown."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wayside_server.identity.install_line import install_line
from wayside_server.packages.installer import Site, excuse, installer

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "server/wayside_server/packages/install.sh", ROOT / "scripts/debian_roots.sh"]
SITE = Site("https://server.example:8443", "https://server.example:8443", "-----BEGIN CERTIFICATE-----\nAA'$(x)\n")


def shell(text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-s", "--", *arguments], input=text, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    ended = subprocess.run(
        [shellcheck, "-s", "sh", "-x", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout + ended.stderr == ""


def test_what_is_filled_in_is_one_word_of_shell_each() -> None:
    text = installer(SITE)
    assert "@" not in "".join(line for line in text.splitlines() if line.startswith(("SERVER=", "TRUST=", "ENROL_AT=")))
    head = text[: text.index("\nUSER_NAME=")]
    ended = shell(f'{head}\nprintf "%s|" "$SERVER" "$ENROL_AT" "$TRUST" "$ROOT"')
    assert ended.stdout == f"{SITE.url}|{SITE.enrol_url}|server|{SITE.root_pem}|"


def test_a_proxy_is_trusted_as_the_system_does() -> None:
    site = Site("https://telemetry.example", "https://server.example:8443", "root")
    assert "\nTRUST=system\n" in installer(site)


def test_nothing_but_the_last_line_does_anything() -> None:
    lines = installer(SITE).splitlines()
    assert lines[-1] == '{ main "$@" </dev/null; }'
    ended = shell("\n".join([*lines[:-1], "echo done"]), "--help")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)


def test_it_explains_itself_and_refuses_what_it_does_not_know() -> None:
    text = installer(SITE)
    assert "--upgrade" in shell(text, "--help").stdout
    for options, message in (
        (["--frobnicate"], "--frobnicate is no option"),
        (["--server"], "--server needs a value"),
        (["--server", "http://server.example"], "must begin with https://"),
        (["--purge"], "--purge goes with --uninstall"),
        (["--extra", "all"], "there is only compute"),
        (["--trust", "everybody"], "--trust must be"),
        (["--bundle", "/nowhere"], "there is no folder /nowhere"),
    ):
        ended = shell(text, *options)
        assert ended.returncode == 1
        assert message in ended.stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/etc/debian_version").exists(), reason="the script is for root on Debian"
)
def test_where_nothing_is_installed_there_is_nothing_to_upgrade(tmp_path: Path) -> None:
    text = installer(SITE).replace("OPT=/opt/wayside\n", f"OPT={tmp_path}\n")
    for options in (["--upgrade", "--dry-run"], ["--upgrade"]):
        ended = shell(text, *options)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("wayside: there is nothing to upgrade: Wayside is not installed here; run the")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_server_says_so_on_the_board() -> None:
    ended = shell(excuse("nothing; run 'it'"))
    assert (ended.returncode, ended.stderr) == (1, "wayside: nothing; run 'it'\n")


def test_the_line_hands_the_token_to_no_program_as_an_argument() -> None:
    line = install_line(SITE.url, "sha256//pin=", "wst1.secret.root")
    assert line == (
        "{ echo WAYSIDE_TOKEN=wst1.secret.root; "
        "curl -fsS -k --pinnedpubkey sha256//pin= https://server.example:8443/install.sh; } | sudo sh"
    )
    # In a shell of Debian and of most people, echo is no program of its own.
    for program in ("dash", "bash"):
        assert subprocess.run([program, "-c", "type echo"], capture_output=True, text=True, check=True).stdout == (
            "echo is a shell builtin\n"
        )


def test_the_line_without_token_and_without_pin() -> None:
    assert install_line(SITE.url, None, None) == f"curl -fsS {shlex.quote(SITE.url + '/install.sh')} | sudo sh"
