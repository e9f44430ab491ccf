"""pymodbus' own servers on this machine: over TCP, and over a pair of pseudo-terminals."""

import asyncio
import os
import pty
import select
import threading
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import SimDevice


@contextmanager
def running(server_of: "ServerMaker") -> Iterator[ModbusBaseServer]:
    """A server in a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> ModbusBaseServer:
        server = server_of()
        await server.serve_forever(background=True)
        return server

    async def stop(server: ModbusBaseServer) -> None:
        await server.shutdown()  # type: ignore[no-untyped-call]
        for _ in range(10):  # transports close a turn of the loop later
            await asyncio.sleep(0)

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(stop(server), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(frozen=True)
class ServerMaker:
    """How a server is made; within its loop.

    Args:
        devices: what it serves.
        port: the serial port; None for TCP on a free port.
        baud: its speed.
    """

    devices: Sequence[SimDevice]
    port: str | None = None
    baud: int = 19_200

    def __call__(self) -> ModbusBaseServer:
        if self.port is None:
            return ModbusTcpServer(list(self.devices), address=("127.0.0.1", 0), ignore_missing_devices=True)
        return ModbusSerialServer(list(self.devices), port=self.port, baudrate=self.baud, ignore_missing_devices=True)


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Two serial ports, each of which gets what is sent to the other."""
    ends, ports = zip(*(pty.openpty() for _ in range(2)), strict=True)
    for port in ports:
        tty.setraw(port)
    awake, wake = os.pipe()

    def carry() -> None:
        while True:
            ready, _, _ = select.select([*ends, awake], [], [])
            if awake in ready:
                return
            for end in ready:
                with suppress(OSError):  # nobody has the other port open now
                    os.write(ends[1 - ends.index(end)], os.read(end, 1024))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield os.ttyname(ports[0]), os.ttyname(ports[1])
    finally:
        os.write(wake, b"x")
        thread.join(10)
        for each in (*ends, *ports, awake, wake):
            os.close(each)
