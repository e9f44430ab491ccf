"""A meter that gives pulses: water and gas meters, S0 outputs of energy meters, rain gauges, anemometers."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from wayside_edge.drivers.gpio.digital_input import LINE
from wayside_edge.errors import SensorError
from wayside_edge.ports import BusProvider, DriverKind, EdgeKind, GpioInput, Pull, Quantity, Reading
from wayside_shared.clock import NS_PER_MS, NS_PER_S
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

CODE: Final = r"[!-~]{1,32}"
SHORTEST_NS: Final = NS_PER_MS
"""A rate over less says nothing."""


class Per(Enum):
    """The time that a rate is for."""

    SECOND = "s"
    MINUTE = "min"
    HOUR = "h"


SECONDS: Final = {Per.SECOND: 1, Per.MINUTE: 60, Per.HOUR: 3600}


@dataclass(frozen=True, slots=True)
class PulseCounterSettings:
    """Settings of a sensor of kind `pulse_counter`."""

    line: str = setting("The line: its number, or its name as gpioinfo or gpiozero has it.", sample="17", pattern=LINE)
    active_low: bool = setting("Whether a low level is true, as of a contact to ground with a pull-up.", False)
    pull: Pull = setting("What holds the line when nothing drives it.", Pull.NONE)
    debounce_s: float = setting(
        "How long a change must last to count, in seconds; a fifth of the shortest pulse.",
        0.0,
        minimum=0.0,
        maximum=4.0,
    )
    edge: EdgeKind = setting("The changes to count.", EdgeKind.RISING)
    factor: float = setting("What one pulse stands for, in the unit.", 1.0, minimum=1e-9, maximum=1e9)
    unit: str = setting("UCUM code of the total's unit.", "{count}", pattern=CODE)
    rate_per: Per = setting("The time that the rate is for.", Per.SECOND)
    rate_unit: str | None = setting(
        "UCUM code of the rate's unit; without one <unit>/<rate_per>. W.h in an hour are W.", None, pattern=CODE
    )


class PulseCounter:
    """Counts the pulses of a line.

    The total is of this run of the agent: it goes on when the line fails and comes back, and begins at 0 when the agent
    starts. Pulses while nobody looks are not counted.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
    """

    def __init__(self, settings: PulseCounterSettings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._line: GpioInput | None = None
        self._count = 0
        self._since_ns = 0
        self._interrupted = False
        exponent = Decimal(repr(settings.factor)).as_tuple().exponent
        self._decimals = max(-exponent, 0) if isinstance(exponent, int) else None

    def start(self) -> None:
        """See `Driver`."""
        again = self._since_ns > 0
        self.close()
        bus = self._buses.gpio(self._name)
        self._line = bus.input(
            self._settings.line,
            active_low=self._settings.active_low,
            pull=self._settings.pull,
            debounce_s=self._settings.debounce_s,
            edges=self._settings.edge,
        )
        self._interrupted = again
        self._since_ns = bus.now_ns()

    def read(self) -> Sequence[Reading]:
        """See `Driver`."""
        if self._line is None:
            raise SensorError(f"bus {self._name}, line {self._settings.line}: was not started")
        edges = self._line.edges()
        now_ns = self._buses.gpio(self._name).now_ns()
        pulses = len(edges.kept) + edges.lost
        self._count += pulses
        quality = Quality.OVERRUN if edges.lost or self._interrupted else Quality.GOOD
        self._interrupted = False
        unit, total = self._settings.unit, self._count * self._settings.factor
        readings = [Reading("total", total, unit, decimals=self._decimals, quality=quality)]
        elapsed_ns, self._since_ns = now_ns - self._since_ns, now_ns
        if elapsed_ns >= SHORTEST_NS:
            per_s = pulses * self._settings.factor * NS_PER_S / elapsed_ns
            rate_unit = self._settings.rate_unit or f"{unit}/{self._settings.rate_per.value}"
            rate = per_s * SECONDS[self._settings.rate_per]
            readings.append(Reading("rate", rate, rate_unit, quality=quality))
        return readings

    def close(self) -> None:
        """See `Driver`."""
        line, self._line = self._line, None
        if line is not None:
            line.close()


KIND = DriverKind(
    title="A meter that gives pulses on a GPIO line: flow, rain, energy (S0), wind",
    settings=PulseCounterSettings,
    build=PulseCounter,
    families=("gpio",),
    quantities=(
        Quantity("total", "", 0.0, 1e18, "each pulse"),
        Quantity("rate", "", 0.0, 1e18, "one pulse in the interval"),
    ),
)
