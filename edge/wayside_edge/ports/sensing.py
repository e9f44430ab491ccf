"""What a driver is, and what it gives."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol, TypeAlias, TypeVar, overload, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Burst:
    """Samples of one series, equally far apart: what a FIFO gives, without an object for each.

    Args:
        name: the series, as in `Reading`.
        values: finite numbers, oldest first.
        unit: their UCUM code.
        period_ns: from one to the next.
        age_ns: how long before the end of the read the last one was measured.
        decimals: digits after the point that the chip resolves.
        marks: the qualities of those that are not good, by their places in `values`.
    """

    name: str
    values: Sequence[float]
    unit: str
    period_ns: int
    age_ns: int
    decimals: int
    marks: Mapping[int, Quality] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether all are numbers; one that is not makes the sum none. (So may the sum of huge ones: look closer.)"""
        return isfinite(sum(self.values))

    def reading(self, place: int) -> Reading:
        """The sample at `place`."""
        age_ns = self.age_ns + (len(self.values) - 1 - place) * self.period_ns
        quality = self.marks.get(place, Quality.GOOD)
        return Reading(self.name, self.values[place], self.unit, decimals=self.decimals, age_ns=age_ns, quality=quality)


class Bursts(Sequence[Reading]):
    """Readings of which most stand in bursts: the guard and the batcher take those whole, in a seventh of the time. For
    all others it is a sequence of readings: those of the bursts oldest first, then the rest.

    Args:
        bursts: as many samples in each.
        rest: other readings of the same read.
    """

    def __init__(self, bursts: Sequence[Burst], rest: Sequence[Reading] = ()) -> None:
        self.bursts = bursts
        self.rest = rest
        self._width = len(bursts)
        self._inside = sum(len(burst.values) for burst in bursts)

    def __len__(self) -> int:
        return self._inside + len(self.rest)

    @overload
    def __getitem__(self, index: int) -> Reading: ...

    @overload
    def __getitem__(self, index: slice) -> list[Reading]: ...

    def __getitem__(self, index: int | slice) -> Reading | list[Reading]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place >= self._inside:
            return self.rest[place - self._inside]
        return self.bursts[place % self._width].reading(place // self._width)


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
        overflows_after_s: how long the chip can collect samples with such settings before some are lost, in seconds:
            a longer `interval_s` cannot work. It gives None when the chip collects none; it is None itself where no
            settings make the chip do so.
        there: what this machine has that such a driver can read, as settings `key=value`; None for chips on buses.
    """

    title: str
    settings: type[Any]
    build: Callable[[Any, str, BusProvider], Driver]
    families: tuple[str, ...] = ()
    quantities: tuple[Quantity, ...] = ()
    addresses: tuple[int, ...] = ()
    identify: Callable[[I2cBus, int], bool] | None = None
    overflows_after_s: Callable[[Any], float | None] | None = None
    there: Callable[[], Sequence[str]] | None = None
