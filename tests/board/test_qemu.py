"""The same board on the kernel that Debian ships, under QEMU: what User-Mode Linux cannot show."""

from dataclasses import replace

import pytest

from board import cache
from board.agent import BME280, SENSING, accepted, outbox, start_agent
from board.machine import Wanted, running
from board.office import Office
from board.qemu import PROGRAM, Qemu
from board.test_delivery import DEVICE, SERIES

pytestmark = [
    pytest.mark.board,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        PROGRAM is None or not (cache.STOCK / "stamp").exists(),
        reason="QEMU is missing; type: sudo apt-get install qemu-system-x86 kmod, then make test-board",
    ),
]
BOOT_STATUS = "/sys/class/watchdog/watchdog0/bootstatus"
WDIOF_CARDRESET = 0x20


async def test_the_agent_delivers_from_the_kernel_that_debian_ships(wanted: Wanted, office: Office) -> None:
    config = office.uplink(DEVICE) + outbox("/run") + SENSING
    backend = Qemu()
    async with running(backend, replace(wanted, network=True), BME280) as board:
        agent = await start_agent(board, config, witnessed=True)
        await office.stored_beyond(DEVICE, SERIES, 5)
        await backend.cable(plugged=False)
        await backend.cable(plugged=True)
        await office.stored_beyond(DEVICE, SERIES, len(await office.values(DEVICE, SERIES)) + 5)
        await agent.stop()
        taken = accepted(board)
    assert await office.outcomes(DEVICE) == dict.fromkeys(taken, "stored")
    assert (await office.account(DEVICE)).missing == 0


async def test_a_hardware_watchdog_resets_it_and_says_so_after(wanted: Wanted) -> None:
    async with running(Qemu(), wanted, BME280) as board:
        await board.call("system:feed_watchdog_once", within_s=4)
        await board.reset()
        assert await board.call("system:read", pattern=BOOT_STATUS) == {BOOT_STATUS: str(WDIOF_CARDRESET)}
        found = await board.call("sensing:measure", bus={"kind": "i2c", "number": 0}, sensor={"kind": "bme280"})
    assert found.keys() >= {"temperature", "pressure", "humidity"}
