"""A device that delivers and renews its certificate: the agent's own outbox, uplink and keeper, without sensors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from cryptography import x509

from wayside_edge.identity.asking import Ask, ask_worker
from wayside_edge.identity.keeper import IdentityKeeper
from wayside_edge.identity.proving import ProvingTransport
from wayside_edge.identity.settings import IdentitySettings
from wayside_edge.identity.store import Files
from wayside_edge.outbox.settings import OutboxSettings
from wayside_edge.outbox.store import DurableOutbox
from wayside_edge.ports import Clock
from wayside_edge.uplink.mqtt import MqttConnection, MqttTransport
from wayside_edge.uplink.session import Uplink
from wayside_edge.uplink.settings import UplinkSettings
from wayside_testkit.clock import LiveClock
from wayside_testkit.delivery import EdgeSide

DEADLINE_S = 30.0


@dataclass
class RenewingDevice(EdgeSide):
    """It."""

    outbox: DurableOutbox
    uplink: Uplink
    clock: LiveClock
    identity: IdentityKeeper
    files: Files

    @property
    def trouble(self) -> str:
        """What keeps the renewal from succeeding; empty when nothing does."""
        return str(self.identity.status().get("trouble", ""))

    def serial(self) -> int:
        """The present certificate's."""
        return x509.load_pem_x509_certificate(self.files.cert_file.read_bytes()).serial_number

    @property
    def keeps_old(self) -> bool:
        """Whether the certificate before the present one is still there."""
        return (self.files.cert_file.parent / "versions/old").is_symlink()

    @property
    def versions(self) -> int:
        """How many certificates, with their keys, lie on the disk."""
        return sum(not path.is_symlink() for path in (self.files.cert_file.parent / "versions").iterdir())

    async def comes_to(self, reached: Callable[[], bool]) -> None:
        """Returns once `reached`."""
        async with asyncio.timeout(DEADLINE_S):
            while not reached():  # noqa: ASYNC110 - what a broker does to a session gives no event
                await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Places:
    """Where a device finds what it needs.

    Args:
        host: the broker's.
        port: the broker's.
        server: address of the enrolment endpoints.
        outbox: its file.
        reconnect_s: the longest pause before the next attempt to connect.
        look_s: how often the keeper looks what is due.
        stood_s: how long a session with a new certificate lasts to be a good one.
    """

    host: str
    port: int
    server: str
    outbox: Path
    reconnect_s: float = 1.0
    look_s: float = 0.05
    stood_s: float = 0.3


@asynccontextmanager
async def renewing(
    name: str, files: Files, places: Places, *, renewal_clock: Clock | None = None, ask: Ask = ask_worker, seed: int = 1
) -> AsyncIterator[RenewingDevice]:
    """The device `name` delivers, and looks after its certificate, while the block runs.

    Args:
        name: as in its certificate.
        files: its identity.
        places: of what it needs.
        renewal_clock: what its keeper takes for the time.
        ask: how its keeper asks the worker.
        seed: of all jitter.
    """
    clock = LiveClock()
    outbox = DurableOutbox(OutboxSettings(path=places.outbox, free_disk_floor_mb=0, ballast_mb=0), clock)
    status = await outbox.open()
    assert files.key_file is not None
    settings = UplinkSettings(
        host=places.host, port=places.port, device=name, ca_file=files.ca_file, cert_file=files.cert_file,
        key_file=files.key_file, reconnect_s=places.reconnect_s,
    )  # fmt: skip

    async def dial(with_files: Files) -> MqttConnection:
        assert with_files.key_file is not None
        return await MqttTransport(
            replace(
                settings,
                ca_file=with_files.ca_file,
                cert_file=with_files.cert_file,
                key_file=with_files.key_file,
            )
        ).connect()

    identity = IdentityKeeper(
        *(IdentitySettings(server=places.server), name, files, renewal_clock or clock, Random(seed)),
        link=lambda: uplink.state,
        prove=lambda: uplink.give_way(),  # noqa: PLW0108 - there is no uplink yet
        look_s=places.look_s,
        stood_s=places.stood_s,
        ask=ask,
    )
    uplink = Uplink(settings, ProvingTransport(identity, dial), outbox, status.pending, clock, "test", Random(seed))
    tasks = [asyncio.create_task(uplink.run()), asyncio.create_task(identity.run(lambda: None))]
    try:
        yield RenewingDevice(outbox, uplink, clock, identity, files)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        await outbox.close()
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes), outcomes
