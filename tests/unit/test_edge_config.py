"""The agent's configuration file and the command that checks it."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge import config, registry
from wayside_edge.__main__ import main
from wayside_edge.config import parse
from wayside_edge.errors import ConfigError
from wayside_edge.uplink.placement import place_uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_shared.errors import EXIT_CONFIG
from wayside_testkit.credentials import Credentials, CredentialsFactory

pytest_plugins = ["wayside_testkit.credentials"]

UPLINK = '[uplink]\nhost = "h"\ndevice = "d-1"\n'
BUS = '[[bus]]\nname = "main"\nkind = "i2c"\nnumber = 1\n'


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "edge.toml")
    return str(caught.value)


def test_the_sample_is_right() -> None:
    settings = parse(config.sample(), "sample")
    assert [sensor.kind for sensor in settings.sensor] == ["host"]


def test_a_comment_more_changes_nothing() -> None:
    assert parse(config.sample(), "sample") == parse(f"# a line more\n{config.sample()}", "edge.toml")


@pytest.mark.parametrize("kind", sorted(registry.DRIVERS))
def test_the_sample_is_right_with_all_comments_taken_away(kind: str) -> None:
    text = re.sub(r"(?m)^# (?=\[\[|# |\w+ = )", "", config.sample([kind]))
    settings = parse(text, "sample")
    assert {sensor.kind for sensor in settings.sensor} == {"host", kind}


def chips(*kinds: str, more: str = "") -> str:
    return "".join(
        f'[[sensor]]\nname = "{kind}-{count}"\nkind = "{kind}"\nbus = "main"\n{more}'
        for count, kind in enumerate(kinds)
    )


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        (BUS + chips("bme280", "bmp280"), "'bme280-0' and 'bmp280-1' are both at address 0x76 of bus 'main'", 12),
        (BUS + chips("aht20", "aht20"), "'aht20-0' and 'aht20-1' are both at address 0x38 of bus 'main'", 12),
        (
            BUS.replace("i2c", "spi") + chips("max31855", "bme280", more="chip_select = 1\n"),
            "'max31855-0' and 'bme280-1' are both at chip_select 1 of bus 'main'",
            17,
        ),
        (
            '[[bus]]\nname = "main"\nkind = "gpio"\n' + chips("digital_input", "pulse_counter", more='line = "17"\n'),
            "'digital_input-0' and 'pulse_counter-1' are both at line 17 of bus 'main'",
            16,
        ),
    ],
)
def test_a_place_on_a_bus_is_taken_once(text: str, place: str, line: int) -> None:
    said = complaint(UPLINK + text)
    assert place in said
    assert said.startswith(f"edge.toml:{line}: ")


def test_the_same_address_on_two_buses_is_right() -> None:
    second = BUS.replace("main", "other").replace("number = 1", "number = 2")
    text = UPLINK + BUS + second + chips("bme280") + chips("bmp280").replace("main", "other")
    assert len(parse(text, "edge.toml").sensor) == 2


def test_a_board_is_read_without_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "board.toml"
    file.write_text(BUS + chips("bme280"))
    board = config.load_board(file)
    assert [bus.name for bus in board.bus] == ["main"]
    assert [sensor.kind for sensor in board.sensor] == ["bme280"]
    file.write_text(BUS + chips("bme280", "bme280"))
    with pytest.raises(ConfigError, match="both at address 0x76"):
        config.load_board(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[sensor]]\nname = "a"\nkind = "bmp820"\n',
            "unknown sensor kind 'bmp820'; did you mean 'bmp280'?",
        ),
        ('[[sensor]]\nname = "a"\nkind = "bme280"\n', "'bus' is missing"),
        ('[[sensor]]\nname = "a"\nkind = "bme280"\nbus = "mian"\n', "no [[bus]] is named 'mian'; did you mean 'main'?"),
        ('[[sensor]]\nname = "a"\nkind = "host"\nbus = "main"\n', "is on no bus; remove 'bus'"),
        ('[[sensor]]\nname = "a"\nkind = "host"\ndisc_path = "/"\n', "did you mean 'disk_path'?"),
        (
            '[[sensor]]\nname = "a"\nkind = "host"\n[[sensor]]\nname = "a"\nkind = "host"\n',
            "a second sensor is named 'a'",
        ),
        ('[[bus]]\nname = "main"\nkind = "i2c"\nnumber = 2\n', "a second bus is named 'main'"),
        ('[[bus]]\nname = "b"\nkind = "i2c"\nnumber = 1\n', "'main' and 'b' are both i2c 1; remove one, and use"),
        (
            "".join(f'[[bus]]\nname = "{name}"\nkind = "uart"\nport = "/dev/ttyS0"\n' for name in "ab"),
            "'a' and 'b' are both /dev/ttyS0; remove one, and use",
        ),
        ('[[bus]]\nname = "b"\nkind = "spi"\n' * 2, "a second bus is named 'b'"),
        ('[[bus]]\nname = "b"\nkind = "i3c"\n', "unknown bus kind 'i3c'; did you mean 'i2c'?"),
        ('[[bus]]\nname = "b"\nkind = "i2c"\nnumbr = 2\n', "did you mean 'number'?"),
        ('[[sensor]]\nname = "a"\nkind = "bme280"\nbus = "main"\naddress = 0x70\n', "BMP280 has 0x76 or 0x77"),
        ("", "nothing to measure: add a [[sensor]]"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    assert expected in complaint(UPLINK + BUS + text)


@pytest.mark.parametrize(
    ("kind", "rate", "more", "interval_s", "full"),
    [
        ("mpu6050", "100", "", "1.0", "0.85 s"),
        ("mpu6050", "100", "", "0.85", "0.85 s"),
        ("mpu6050", "100", 'fifo_parts = "rotation"\n', "2.0", "1.7 s"),
        ("adxl345", "100.0", "", "0.32", "0.32 s"),
    ],
)
def test_a_fifo_that_is_full_before_it_is_read_is_a_mistake(
    kind: str, rate: str, more: str, interval_s: str, full: str
) -> None:
    def with_interval(seconds: str) -> str:
        return UPLINK + BUS + chips(kind, more=f"{more}fifo_rate_hz = {rate}\ninterval_s = {seconds}\n")

    said = complaint(with_interval(interval_s))
    assert f"interval_s = {float(interval_s):g}: the chip's FIFO is full after {full}" in said
    assert said.startswith(f"edge.toml:{with_interval(interval_s).count(chr(10))}: ")
    assert len(parse(with_interval("0.3"), "edge.toml").sensor) == 1


def test_mistakes_name_the_line_of_the_driver_setting() -> None:
    assert complaint(UPLINK + '[[sensor]]\nname = "a"\nkind = "host"\ndisc_path = "/"\n').startswith("edge.toml:7: ")


def test_check_config_ends_with_78_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text("[uplnk]\n")
    assert main(["check-config", "--config", str(file)]) == EXIT_CONFIG
    captured = capsys.readouterr()
    assert captured.err == f"wayside-edge: {file}:1: unknown key 'uplnk'; did you mean 'uplink'?\n"


def test_a_missing_file_ends_with_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", str(tmp_path / "none.toml")]) == EXIT_CONFIG
    assert "No such file" in capsys.readouterr().err


def configured(folder: Path, who: Credentials, more: str = "") -> Path:
    """A configuration whose `[uplink]` names the files of `who`."""
    file = folder / "edge.toml"
    uplink = UplinkSettings(
        host="broker.example", device=who.name, ca_file=who.ca_file, cert_file=who.cert_file, key_file=who.key_file
    )
    file.write_text(place_uplink(config.sample(), uplink, "sample") + more)
    return file


def test_sample_config_passes_check_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], credentials: CredentialsFactory
) -> None:
    file = configured(tmp_path, credentials.device("boiler-7"))
    assert main(["check-config", "--config", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"{file} is right: 1 sensor, 0 buses\nboiler-7 has what it needs to connect to broker.example:8883\n"
    )


HOST = '[[sensor]]\nname = "pi"\nkind = "host"\n'


def test_a_file_without_uplink_is_right_and_the_device_not_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(HOST + '[log]\nlevel = "debug"\n')
    assert main(["check-config", "--config", str(file)]) == 0
    assert capsys.readouterr().out == (
        f"{file} is right: 1 sensor, 0 buses\n"
        "this device is not enrolled: to deliver, it needs"
        f" wayside-edge enroll https://SERVER:8443 TOKEN --config {file}\n"
    )
    assert main(["run", "--config", str(file)]) == EXIT_CONFIG
    assert "'uplink' is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing to measure: add a [[sensor]]"),
        (HOST + '[log]\nlevel = "loud"\n', ':5: level = "loud": must be one of'),
        (HOST + "disk_pth = 1\n", ":4: unknown key 'disk_pth'; did you mean 'disk_path'?"),
        (HOST + "[outbx]\n", ":4: unknown key 'outbx'; did you mean 'outbox'?"),
    ],
)
def test_a_file_without_uplink_is_checked_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    assert main(["check-config", "--config", str(file)]) == EXIT_CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def test_check_config_warns_of_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    column = '[[sensor.columns]]\ncolumn = "T"\nname = "t"\nunit = "Cel"\n'
    file.write_text(f'[[sensor]]\nname = "a"\nkind = "replay"\nfile = "/none.csv"\ntime_column = "d"\n{column}')
    assert main(["check-config", "--config", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.err == f'wayside-edge: {file}:4: file = "/none.csv": a warning: it is not there now\n'
    assert captured.out.startswith(f"{file} is right: 1 sensor")


def missing(who: Credentials) -> Credentials:
    who.cert_file.unlink()
    return who


def expired(who: Credentials) -> Credentials:
    who.cert_file.write_bytes(
        CredentialsFactory(who.cert_file.parent).device("boiler-7", days=-1).cert_file.read_bytes()
    )
    return who


def other_name(who: Credentials) -> Credentials:
    return dataclasses.replace(who, name="boiler-8")


def other_key(who: Credentials) -> Credentials:
    return dataclasses.replace(who, key_file=CredentialsFactory(who.cert_file.parent).device("boiler-7").key_file)


def no_key(who: Credentials) -> Credentials:
    who.key_file.write_text("-----BEGIN NONSENSE-----")
    return who


def no_ca(who: Credentials) -> Credentials:
    who.ca_file.write_text("")
    return who


def unreadable(who: Credentials) -> Credentials:
    return dataclasses.replace(who, ca_file=who.ca_file.parent)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (missing, "is missing; correct 'cert_file', or enrol this device: wayside-edge enroll https://"),
        (expired, "expired on 20"),
        (other_name, "is the certificate of boiler-7, not of boiler-8"),
        (other_key, "is not the key of"),
        (no_key, "holds no private key"),
        (no_ca, "holds no certificate; correct 'ca_file', or type: wayside-edge enroll https://"),
        (unreadable, "cannot read"),
    ],
)
def test_check_config_says_what_is_wrong_with_the_files_and_what_to_type(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    credentials: CredentialsFactory,
    spoil: Callable[[Credentials], Credentials],
    said: str,
) -> None:
    file = configured(tmp_path, spoil(credentials.device("boiler-7")))
    assert main(["check-config", "--config", str(file)]) == EXIT_CONFIG
    captured = capsys.readouterr()
    assert "is right: 1 sensor, 0 buses" in captured.out
    assert said in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "check-config"])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it_row_12(
    tmp_path: Path, credentials: CredentialsFactory, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    who = credentials.device("boiler-7")
    who.key_file.chmod(0o640)
    assert main([command, "--config", str(configured(tmp_path, who))]) == 78
    said = capsys.readouterr().err
    assert f"mode 0640); type: chmod 600 {who.key_file}" in said
