"""`wayside-edge doctor` on recorded machines; the way to the broker is in tests/integration/test_doctor_network.py."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wayside_edge import config
from wayside_edge.__main__ import parser
from wayside_edge.commands import doctor
from wayside_edge.commands.doctor import board, host
from wayside_edge.commands.doctor.finding import Finding, Level, User
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.uplink.placement import place_uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_testkit.credentials import CredentialsFactory
from wayside_testkit.machine import Machine
from wayside_testkit.sensing import ManualClock

UPLINK = '[uplink]\nhost = "h"\ndevice = "d-1"\n'
I2C = '[[bus]]\nname = "main"\nkind = "i2c"\nnumber = 1\n'
SENSOR = '[[sensor]]\nname = "attic"\nkind = "bme280"\nbus = "main"\naddress = 0x76\n'
HOST = '[[sensor]]\nname = "host"\nkind = "host"\n'
NOBODY = User(uid=4_000_000, gids=frozenset())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def pi(machine: Machine) -> Machine:
    machine.file("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    machine.file("boot/firmware/config.txt", "dtparam=audio=on\n")
    return machine


def examined(machine: Machine, text: str | None = None, user: User = NOBODY) -> dict[str, Finding]:
    """The last and worst finding of each area."""
    settings = config.parse(UPLINK + text, "edge.toml") if text is not None else None
    found: dict[str, Finding] = {}
    order = list(Level)
    for finding in board.examine(settings, machine.root, user):
        if finding.area not in found or order.index(finding.level) >= order.index(found[finding.area].level):
            found[finding.area] = finding
    return found


def test_a_bus_that_the_configuration_needs_and_config_txt_does_not_enable(pi: Machine) -> None:
    found = examined(pi, I2C + SENSOR)["i2c"]
    assert found.level is Level.PROBLEM
    assert found.fix.startswith("add the line dtparam=i2c_arm=on to /boot/firmware/config.txt and restart")


def test_the_boot_file_of_older_systems(machine: Machine) -> None:
    machine.file("proc/device-tree/model", "Raspberry Pi 3 Model B\0")
    machine.file("boot/config.txt", "")
    assert "to /boot/config.txt" in examined(machine, I2C + SENSOR)["i2c"].fix


def test_a_bus_that_config_txt_enables_needs_a_restart(pi: Machine) -> None:
    pi.file("boot/firmware/config.txt", "dtparam=i2c_arm=on,spi=on\n")
    assert "enables it already: restart" in examined(pi, I2C + SENSOR)["i2c"].fix


def test_nodes_that_only_want_their_module(pi: Machine) -> None:
    pi.file("sys/bus/i2c/devices/i2c-1/name", "bcm2835\n")
    assert examined(pi, I2C + SENSOR)["i2c"].fix.startswith("sudo modprobe i2c-dev; to keep it: echo i2c-dev")


def test_a_board_that_is_no_raspberry_pi(machine: Machine) -> None:
    assert examined(machine, I2C + SENSOR)["i2c"].fix == "enable it in the board's device tree"


def test_what_nobody_needs_is_no_fault_and_without_a_configuration_a_warning(pi: Machine) -> None:
    assert {finding.level for finding in examined(pi, HOST).values()} == {Level.NOTE}
    levels = {area: finding.level for area, finding in examined(pi).items()}
    assert levels == {**dict.fromkeys(("i2c", "spi", "gpio", "w1"), Level.WARNING), "power": Level.NOTE}


@pytest.mark.parametrize(
    ("mode", "user", "usable"),
    [
        (0o660, User(os.geteuid(), frozenset()), True),
        (0o660, User(4_000_000, frozenset((os.getegid(),))), True),
        (0o660, NOBODY, False),
        (0o640, User(4_000_000, frozenset((os.getegid(),))), False),
        (0o666, NOBODY, True),
    ],
)
def test_whether_this_user_may_open_a_node(mode: int, user: User, usable: bool, machine: Machine) -> None:
    machine.adapter(1)
    (machine.root / "dev/i2c-1").chmod(mode)
    found = examined(machine, I2C + SENSOR, user)["i2c"]
    assert (found.level is Level.OK) is usable
    assert usable or found.fix.startswith("sudo usermod -aG ")


def test_a_bus_number_that_is_not_there(machine: Machine) -> None:
    machine.adapter(3)
    (machine.root / "dev/i2c-3").chmod(0o666)
    found = examined(machine, I2C + SENSOR)["i2c"]
    assert (found.level, found.fix) == (Level.PROBLEM, "say number = 3")
    assert found.what == "bus 'main' is number 1, which is not there"


def test_a_sensor_whose_address_a_kernel_driver_holds(machine: Machine) -> None:
    machine.adapter(1)
    machine.client(1, 0x76, "bme280", "bmp280")
    found = examined(machine, I2C + SENSOR)["i2c"]
    assert found.level is Level.PROBLEM
    assert found.what == "the kernel driver bmp280 (bme280) holds address 0x76, where sensor 'attic' is"


def test_lines_of_a_gpio_controller_need_its_node(machine: Machine) -> None:
    wanted = '[[bus]]\nname = "pins"\nkind = "gpio"\n' + HOST
    found = examined(machine, wanted)["gpio"]
    assert (found.level, found.fix.split()[:4]) == (Level.PROBLEM, ["the", "kernel", "needs", "CONFIG_GPIO_CDEV"])
    machine.file("dev/gpiochip0").chmod(0o600)
    assert examined(machine, wanted)["gpio"].what.startswith("/dev/gpiochip0 may not be opened by this user")


SERIAL = '[[bus]]\nname = "line"\nkind = "uart"\nport = "/dev/serial0"\n' + HOST


def test_a_serial_port_that_is_not_there(pi: Machine) -> None:
    found = examined(pi, SERIAL)["serial"]
    assert (found.level, found.what) == (Level.PROBLEM, "/dev/serial0 is not there")
    assert found.fix.startswith("add the line enable_uart=1 to /boot/firmware/config.txt and restart, or see")


def test_a_serial_port_that_is_somebody_elses_or_the_consoles(machine: Machine) -> None:
    assert examined(machine, SERIAL)["serial"].fix == "see that its adapter is plugged in"
    node = machine.file("dev/ttyAMA0")
    machine.link("dev/serial0", "ttyAMA0")
    node.chmod(0o660)
    assert examined(machine, SERIAL)["serial"].what.startswith("/dev/serial0 may not be opened by this user")
    node.chmod(0o666)
    assert examined(machine, SERIAL)["serial"].level is Level.OK
    machine.file("proc/cmdline", "console=ttyAMA0,115200 console=tty1 root=/dev/mmcblk0p2\n")
    found = examined(machine, SERIAL)["serial"]
    assert (found.level, found.what) == (Level.PROBLEM, "the kernel's console is on /dev/serial0, too")
    assert found.fix.startswith("take console=ttyAMA0 out of the kernel's command line")


def test_root_is_told_that_it_sees_no_permissions(machine: Machine) -> None:
    assert examined(machine, HOST, User(0, frozenset()))["user"].fix.endswith("sudo -u wayside wayside-edge doctor")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("dtparam=i2c_arm=on\n", {"dtparam=i2c_arm=on"}),
        ("  dtparam=i2c_arm=on # for the bme280\n", {"dtparam=i2c_arm=on"}),
        ("#dtparam=i2c_arm=on\n", set()),
        ("dtparam=i2c_arm=on\ndtparam=i2c_arm=off\n", {"dtparam=i2c_arm=off"}),
        ("dtparam=i2c_arm=on,i2c_arm_baudrate=400000\n", {"dtparam=i2c_arm=on", "dtparam=i2c_arm_baudrate=400000"}),
        ("dtoverlay=w1-gpio,gpiopin=17\n", {"dtoverlay=w1-gpio"}),
    ],
)
def test_lines_of_config_txt(text: str, lines: set[str]) -> None:
    assert board.boot_lines(text) == lines


@pytest.mark.parametrize(
    ("flags", "alarm", "levels", "said"),
    [
        ("0\n", "0", [Level.OK], "high enough"),
        ("50005\n", "0", [Level.PROBLEM, Level.WARNING], "too low now"),
        ("50000\n", "0", [Level.WARNING, Level.WARNING], "too low since the start"),
        ("80008\n", "0", [Level.WARNING], "the processor is slowed down now"),
        ("80000\n", "0", [Level.WARNING], "was slowed down since the start"),
        (None, "1", [Level.PROBLEM], "too low now"),
        (None, "0", [Level.OK], "high enough"),
        (None, None, [Level.NOTE], "does not tell"),
    ],
)
def test_power(flags: str | None, alarm: str | None, levels: list[Level], said: str, machine: Machine) -> None:
    if flags is not None:
        machine.file("sys/devices/platform/soc/soc:firmware/get_throttled", flags)
    if alarm is not None:
        machine.file("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
        machine.file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", f"{alarm}\n")
    found = [finding for finding in board.examine(None, machine.root, NOBODY) if finding.area == "power"]
    assert [finding.level for finding in found] == levels
    assert said in found[0].what


def test_the_clock() -> None:
    clock = ManualClock()
    clock.now_ns = 10**18
    assert [finding.level for finding in host.clock(clock)] == [Level.OK]
    clock.right = False
    assert [finding.level for finding in host.clock(clock)] == [Level.WARNING]
    clock.now_ns = 0
    assert [finding.level for finding in host.clock(clock)] == [Level.PROBLEM]


def stored(folder: Path, **limits: int) -> list[Finding]:
    return list(host.storage(OutboxSettings(path=folder / "outbox.db", **limits)))


def test_a_disk_with_room(tmp_path: Path) -> None:
    room, speed = stored(tmp_path, quota_mb=8, free_disk_floor_mb=0)
    assert room.level is Level.OK
    assert " is safe after " in speed.what
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room(tmp_path: Path) -> None:
    assert stored(tmp_path, free_disk_floor_mb=10**12)[0].level is Level.PROBLEM
    tight, _ = stored(tmp_path, free_disk_floor_mb=0, quota_mb=10**12)
    assert tight.level is Level.WARNING
    assert "lower outbox.quota_mb" in tight.fix


def test_a_slow_card_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "SLOW_FSYNC_S", 0.0)
    assert stored(tmp_path, quota_mb=8, free_disk_floor_mb=0)[1].level is Level.WARNING


def test_a_folder_that_is_not_there_or_takes_nothing(tmp_path: Path) -> None:
    (missing,) = stored(tmp_path / "none")
    assert missing.level is Level.PROBLEM
    assert missing.fix == f"sudo install -d -o wayside -g wayside -m 0700 {tmp_path / 'none'}"
    refusing = stored(Path("/proc/self"), free_disk_floor_mb=0, quota_mb=8)[-1]  # root cannot write there either
    assert refusing.level is Level.PROBLEM
    assert "cannot write to /proc/self" in refusing.what


ACTIVE = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NRestarts": "0"}


@pytest.mark.parametrize(
    ("state", "level", "fix"),
    [
        (ACTIVE, Level.OK, ""),
        ({"LoadState": "not-found"}, Level.WARNING, "install deploy/systemd/wayside-edge.service"),
        ({**ACTIVE, "ActiveState": "inactive"}, Level.WARNING, "sudo systemctl enable --now wayside-edge"),
        ({**ACTIVE, "UnitFileState": "disabled"}, Level.WARNING, "sudo systemctl enable wayside-edge"),
        ({**ACTIVE, "NRestarts": "3"}, Level.WARNING, "journalctl -u wayside-edge -n 50"),
        ({**ACTIVE, "ActiveState": "failed", "ExecMainStatus": "1"}, Level.PROBLEM, "journalctl -u wayside-edge -n 50"),
        ({**ACTIVE, "ActiveState": "failed", "ExecMainStatus": "78"}, Level.PROBLEM, "wayside-edge check-config"),
    ],
)
def test_the_unit(
    state: dict[str, str], level: Level, fix: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = "\n".join(f"{name}={value}" for name, value in state.items())
    machine.file("bin/systemctl", f"#!/bin/sh\ncat <<'END'\n{shown}\nEND\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{machine.root / 'bin'}:{os.environ['PATH']}")
    (machine.root / "run/systemd/system").mkdir(parents=True)
    (found,) = host.service(machine.root)
    assert (found.level, found.fix) == (level, fix)


def test_a_machine_without_systemd(machine: Machine) -> None:
    assert [finding.level for finding in host.service(machine.root)] == [Level.OK]


Doctor = Callable[..., int]


@pytest.fixture
def typed(machine: Machine) -> Doctor:
    def run(*words: str | Path) -> int:
        return doctor.run(parser().parse_args(["doctor", *map(str, words)]), machine.root, NOBODY)

    return run


def test_without_a_configuration_it_tells_the_rest(
    typed: Doctor, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("--config", machine.root / "none.toml") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("PROBLEM  configuration: ")
    assert lines[1] == "         -> mend the file, or type: wayside-edge enroll https://SERVER:8443 TOKEN"
    assert lines[-1].startswith("ok       service: ")


def test_json_has_every_finding(
    typed: Doctor, machine: Machine, credentials: CredentialsFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    who = credentials.device("boiler-7", days=3)
    uplink = UplinkSettings(
        host="localhost", port=1, device=who.name, ca_file=who.ca_file, cert_file=who.cert_file, key_file=who.key_file
    )
    text = place_uplink(config.sample(), uplink, "sample").replace("/var/lib/wayside", str(machine.root))
    file = machine.file("edge.toml", text.replace("# path =", "path ="))
    assert typed("--config", file, "--json") == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    levels = {(finding["area"], finding["level"]) for finding in findings}
    assert {("configuration", "ok"), ("enrolment", "warning"), ("broker", "problem"), ("disk", "ok")} <= levels
    enrolment = next(finding for finding in findings if finding["area"] == "enrolment")
    assert enrolment["what"].startswith("the certificate of boiler-7 is good until 20")
    assert enrolment["fix"].startswith("get a new token and type: wayside-edge enroll")
    unreachable = next(finding for finding in findings if finding["level"] == "problem")
    assert "localhost:1 cannot be reached" in unreachable["what"]
