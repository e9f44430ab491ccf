"""The driver that holds a PWM output: a fan, a pump, a dimmed lamp."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from wayside_edge.errors import BusError, SensorError
from wayside_edge.hal.pwm import PwmOutput
from wayside_edge.ports import DriverKind, Quantity, Reading
from wayside_shared.settings import setting


@dataclass(frozen=True, slots=True)
class PwmOutputSettings:
    """Settings of a sensor of kind `pwm_output`."""

    channel: int = setting("Number of the controller's channel.", 0, minimum=0, maximum=63)
    chip: str | None = setting("The controller, when there are several: its device, as fe20c000.pwm.", None)
    frequency_hz: float = setting("Periods in a second.", 1000.0, minimum=0.1, maximum=1e6)
    initial: float = setting("Share of the time to drive while the agent runs, in %.", 0.0, minimum=0.0, maximum=100.0)
    safe: float = setting("Share to leave it at when the agent ends, in %.", 0.0, minimum=0.0, maximum=100.0)


class PwmDriver:
    """Holds a PWM output at its share, and reports it.

    Args:
        settings: its settings.
        output: the channel.
    """

    def __init__(self, settings: PwmOutputSettings, output: PwmOutput) -> None:
        self._settings = settings
        self._output = output
        self._open = False

    def start(self) -> None:
        """See `Driver`."""
        self._output.open(self._settings.frequency_hz, self._settings.initial / 100)
        self._open = True

    def read(self) -> Sequence[Reading]:
        """See `Driver`."""
        if not self._open:
            raise SensorError("PWM output: was not started")
        return [Reading("duty", 100 * self._output.duty(), "%", decimals=3)]

    def close(self) -> None:
        """See `Driver`. It goes on at its safe share: a channel that is given back has whatever level."""
        if self._open:
            self._open = False
            with suppress(BusError):  # its controller is gone, and with it the means to drive it
                self._output.set(self._settings.safe / 100)


KIND = DriverKind(
    title="A PWM output of the kernel: a fan, a pump, a dimmed lamp",
    settings=PwmOutputSettings,
    build=lambda settings, _bus, _buses: PwmDriver(settings, PwmOutput(settings.chip, settings.channel)),
    quantities=(Quantity("duty", "%", 0.0, 100.0, "the controller's clock"),),
)
