"""A line that is driven: a relay, a valve, a lamp."""

from collections.abc import Sequence
from dataclasses import dataclass

from wayside_edge.drivers.gpio.digital_input import LINE
from wayside_edge.errors import SensorError
from wayside_edge.ports import BusProvider, DriverKind, GpioOutput, Quantity, Reading
from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class DigitalOutputSettings:
    """Settings of a sensor of kind `digital_output`."""

    line: str = setting("The line: its number, or its name as gpioinfo or gpiozero has it.", sample="17", pattern=LINE)
    active_low: bool = setting("Whether a low level is true, as of most relay boards.", False)
    initial: bool = setting("The state to drive while the agent runs.", False)
    safe: bool = setting("The state to leave it in when the agent ends.", False)


class DigitalOutput:
    """Holds a line in its state, and reports it.

    Args:
        settings: its settings.
        bus: the bus's name.
        buses: where to get it.
    """

    def __init__(self, settings: DigitalOutputSettings, bus: str, buses: BusProvider) -> None:
        self._settings = settings
        self._name = bus
        self._buses = buses
        self._line: GpioOutput | None = None

    def start(self) -> None:
        """See `Driver`."""
        self.close()
        self._line = self._buses.gpio(self._name).output(
            self._settings.line,
            active_low=self._settings.active_low,
            initial=self._settings.initial,
            safe=self._settings.safe,
        )

    def read(self) -> Sequence[Reading]:
        """See `Driver`."""
        where = f"bus {self._name}, line {self._settings.line}"
        if self._line is None:
            raise SensorError(f"{where}: was not started")
        state = self._line.active()
        if state != self._settings.initial:
            raise SensorError(f"{where}: reads {state} and is driven {not state}: a short; unplug its load")
        return [Reading("state", state, "1")]

    def close(self) -> None:
        """See `Driver`."""
        line, self._line = self._line, None
        if line is not None:
            line.close()


KIND = DriverKind(
    title="A GPIO line that is driven: a relay, a valve, a lamp",
    settings=DigitalOutputSettings,
    build=DigitalOutput,
    families=("gpio",),
    quantities=(Quantity("state", "1", 0.0, 1.0, "true or false, as the line reads"),),
)
