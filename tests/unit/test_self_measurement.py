"""What the agent measures of itself."""

from pathlib import Path

from wayside_edge.errors import BusError
from wayside_edge.hal.board import Board, FlashWear, Supply
from wayside_edge.hal.clock import ClockSettings, SystemClock
from wayside_edge.hal.system import System
from wayside_edge.health import measure
from wayside_edge.health.events import DropDeclared, Journal
from wayside_edge.outbox.account import peek
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import ClosedBatch, IntakeState, LinkState, Reading, SensorState
from wayside_shared.batch import Column, encode_body
from wayside_shared.clock import ClockMap, ClockState
from wayside_shared.identifiers import check_series_name
from wayside_testkit.clock import ManualClock


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


RASPBERRY = {
    "proc/self/statm": "9000 7000 3000 1 0 5000 0\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/block/mmcblk0/device/life_time": "0x02 0x01\n",
    "sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
}


def test_a_raspberry_tells_of_supply_flash_and_heat(tmp_path: Path) -> None:
    root = put(tmp_path, RASPBERRY)
    board = Board(root)
    assert board.supply() == Supply(under_voltage=True, slowed=True)
    assert list(board.flash()) == [FlashWear("mmcblk0", 20, 1)]
    measures = measure.BoardMeasures(tmp_path, board, System(root))
    found = {reading.name: reading.value for reading in measures()}
    assert found["board_temperature"] == 48.312
    assert found["flash_used.mmcblk0"] == 20
    assert found["under_voltage"] == 1
    assert found["disk_available"]


def test_what_is_not_there_or_garbage_is_left_out(tmp_path: Path) -> None:
    garbage = {name: "garbage" for name in RASPBERRY if "thermal" not in name}
    board = Board(put(tmp_path, garbage))
    assert board.supply() is None
    assert list(board.flash()) == [FlashWear("mmcblk0", None, None)]
    said: list[BusError] = []
    found = measure.gather([measure.BoardMeasures(tmp_path / "away", board, System(tmp_path))], said.append)
    assert [reading.name for reading in found] == ["cpu"]
    assert "statm does not tell" in str(said[0])


def test_this_machine_measures_itself(tmp_path: Path) -> None:
    found = {reading.name: reading for reading in measure.BoardMeasures(tmp_path)()}
    assert isinstance(found["memory"].value, int)
    assert 5e6 < found["memory"].value < 5e9
    kept = SystemClock(ClockSettings()).discipline()
    assert kept is None or abs(kept.offset_s) < 1.0


def test_counters_are_series_with_proper_names() -> None:
    journal = Journal()
    journal.emit(DropDeclared(2, 100, "quota"))
    sensors = [SensorState("roof", reads=5, failed=2), SensorState("cellar", reads=7)]
    found = [
        *measure.intake_readings(IntakeState(accepted=10, refused={"bad_name": 3}), sensors),
        *measure.link_readings(LinkState(connected=True, sessions=3, delivered=9)),
        *measure.event_readings(journal),
        *measure.clock_readings(SystemClock(ClockSettings(trust_system=True))),
    ]
    values = {reading.name: reading.value for reading in found}
    assert {check_series_name(f"agent.{name}") for name in values}
    assert len(values) == len(found)
    assert values["reads"] == 12
    assert values["reads_failed.roof"] == 2
    assert "reads_failed.cellar" not in values
    assert values["reconnects"] == 2
    assert values["events.DropDeclared"] == 1
    assert values["dropped"] == 100
    assert values["clock_synced"] == 1


def test_a_burst_has_its_last_sample_shown() -> None:
    assert measure.newest([Reading("a", 1, "1"), Reading("a", 2, "1")])["a"].value == 2


async def test_the_outbox_gives_its_sums_also_to_one_that_only_looks(tmp_path: Path) -> None:
    clock = ManualClock()
    settings = OutboxSettings(path=tmp_path / "outbox.db", free_disk_floor_mb=0, ballast_mb=0)
    store = DurableOutbox(settings, clock)
    await store.open()
    assert (await store.account()).oldest_ns is None
    for _ in range(3):
        now = ClockMap(clock.boot_ns, clock.wall, ClockState.SYNCED)
        body = encode_body([Column("t", "Cel", [clock.boot_ns, clock.boot_ns + 1], [1.0, 2.0])])
        await store.append(ClosedBatch(2, body, clock.boot_id(), now))
        clock.advance(10.0)
    account = await store.account()
    assert (account.accepted, account.pending_samples, account.pending_batches) == (6, 6, 3)
    assert account.oldest_ns == 30_000_000_000
    assert account.used_bytes > 100
    assert peek(settings.path, clock) == account
    clock.boot = b"another boot 16b"
    clock.advance(5.0)
    assert (await store.account()).oldest_ns == 35_000_000_000
    clock.is_synced = False
    assert (await store.account()).oldest_ns is None
    await store.close()
