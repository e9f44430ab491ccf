"""A contact, a switch or a logic level on a GPIO line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wayside_edge.errors import SensorError
from wayside_edge.ports import BusProvider, DriverKind, EdgeKind, GpioInput, Pull, Quantity, Reading
from wayside_shared.quality import Quality
from wayside_shared.settings import setting

LINE: Final = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,31}"


@dataclass(frozen=True, slots=True)
class DigitalInputSettings:
    """Settings of a sensor of kind `digital_input`."""

    line: str = setting("The line: its number, or its name as gpioinfo or gpiozero has it.", sample="17", pattern=LINE)
    active_low: bool = setting("Whether a low level is true, as of a contact to ground with a pull-up.", False)
    pull: Pull = setting("What holds the line when nothing drives it.", Pull.NONE)
    debounce_s: float = setting(
        "How long a change must last to count, in seconds; contacts bounce for 5 to 20 ms.",
        0.0,
        minimum=0.0,
        maximum=4.0,
    )
    edges: bool = setting("Give each change with its own time too, not only the state at each read.", True)


class DigitalInput:
    """The state of a line.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
    """

    def __init__(self, settings: DigitalInputSettings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._line: GpioInput | None = None

    def start(self) -> None:
        """See `Driver`."""
        self.close()
        self._line = self._buses.gpio(self._name).input(
            self._settings.line,
            active_low=self._settings.active_low,
            pull=self._settings.pull,
            debounce_s=self._settings.debounce_s,
            edges=EdgeKind.BOTH if self._settings.edges else None,
        )

    def read(self) -> Sequence[Reading]:
        """See `Driver`. Changes come first, the state now last; what follows lost changes is marked."""
        if self._line is None:
            raise SensorError(f"bus {self._name}, line {self._settings.line}: was not started")
        edges = self._line.edges()
        now_ns = self._buses.gpio(self._name).now_ns()
        states = [(edge.active, max(now_ns - edge.at_ns, 0)) for edge in edges.kept]
        states.append((self._line.active(), 0))
        qualities = [Quality.OVERRUN if edges.lost else Quality.GOOD, *[Quality.GOOD] * len(edges.kept)]
        return [
            Reading("state", active, "1", age_ns=age_ns, quality=quality)
            for (active, age_ns), quality in zip(states, qualities, strict=True)
        ]

    def close(self) -> None:
        """See `Driver`."""
        line, self._line = self._line, None
        if line is not None:
            line.close()


KIND = DriverKind(
    title="A contact, a switch or a logic level on a GPIO line",
    settings=DigitalInputSettings,
    build=DigitalInput,
    families=("gpio",),
    quantities=(Quantity("state", "1", 0.0, 1.0, "true or false; changes to the microsecond"),),
)
