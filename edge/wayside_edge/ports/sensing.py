"""What a driver is, and what it gives."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from wayside_edge.ports.buses import BusProvider, I2cBus
from wayside_shared.quality import Quality
from wayside_shared.values import Scalar

T = TypeVar("T")

Waiting: TypeAlias = float
"""A pause in seconds during which the others on the bus may have it."""

Steps: TypeAlias = Generator[Waiting, None, T]
"""Work in steps, each short: what a driver yields is how long the chip needs until the next one, and what it returns
is the result. A chip that converts for a tenth of a second so holds nobody up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value that a driver took, or that it could not take.

    Args:
        name: the series, below the sensor's own name (`temperature`).
        value: a finite number, a boolean or a text; None when `quality` says why there is none.
        unit: its UCUM code.
        time_ns: UTC nanoseconds when the source knows better than the scheduler (a recording); else None.
        decimals: digits after the point that the chip resolves; the value is rounded to them.
        age_ns: how long before the end of the read it was measured: samples of a FIFO, edges with a time stamp.
        quality: how far it can be trusted.
    """

    name: str
    value: Scalar | None
    unit: str
    time_ns: int | None = None
    decimals: int | None = None
    age_ns: int = 0
    quality: Quality = Quality.GOOD


class Driver(Protocol):
    """A sensor. Building it checks the settings, `start` connects, `read` measures once.

    A driver keeps no module state, never retries and never sleeps: it yields its pauses. The owner of its bus runs its
    steps in the bus's thread, backs off when it raises, and calls `start` again before the next `read`.
    """

    def start(self) -> Steps[None] | None:
        """Connect, check the chip's identity, and set it up from whatever state it is in.

        Raises:
            BusError: the bus or the chip is not there.
            SensorError: something else than this chip answers.
        """

    def read(self) -> Steps[Sequence[Reading]] | Sequence[Reading]:
        """Measure once.

        Raises:
            BusError: the transfer failed.
            SensorError: the chip gave no valid measurement.
        """

    def close(self) -> None:
        """Leave the chip idle; called once, never raises."""


@runtime_checkable
class Resuming(Protocol):
    """A driver whose readings carry times of their own, and which can go on where it was before the agent ended."""

    def resume_after(self, accepted: Callable[[], Mapping[str, int]]) -> None:
        """Take note of how to find out, from the first `start` on, what was accepted; call it before that.

        Args:
            accepted: gives the latest accepted time by name of reading, in UTC nanoseconds; raises OutboxError while
                that cannot be known.
        """


@dataclass(frozen=True, slots=True)
class Quantity:
    """A series that a driver can give.

    Args:
        name: of the reading, or a pattern of fnmatch(3) for numbered ones (`voltage_*`).
        unit: UCUM code; empty where the settings say it.
        low: least value that the chip can give; what lies below is no measurement.
        high: greatest.
        accuracy: what the data sheet promises, in a few words with its unit.
    """

    name: str
    unit: str
    low: float
    high: float
    accuracy: str = ""


@dataclass(frozen=True, slots=True)
class DriverKind:
    """How a kind of driver is described, configured and built: each driver's folder has one, named `KIND`.

    Args:
        title: maker, chip and what it measures.
        settings: its settings class.
        build: makes a driver from such settings, the bus's name and the buses; does no I/O.
        families: of the buses it can be on (`i2c`, `spi`, …); none when it is on no bus.
        quantities: what it gives.
        addresses: I2C addresses that the chip can have, the usual one first.
        identify: whether the chip at this I2C address is one of these, found out by reads that disturb no other chip;
            None when a chip cannot be told by reading.
    """

    title: str
    settings: type[Any]
    build: Callable[[Any, str, BusProvider], Driver]
    families: tuple[str, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    addresses: tuple[int, ...] = ()
    identify: Callable[[I2cBus, int], bool] | None = None
