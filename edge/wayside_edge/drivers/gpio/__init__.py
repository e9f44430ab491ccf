"""GPIO lines: contacts, pulses, outputs."""

from wayside_edge.drivers.gpio.digital_input import DigitalInput, DigitalInputSettings
from wayside_edge.drivers.gpio.digital_output import DigitalOutput, DigitalOutputSettings
from wayside_edge.drivers.gpio.pulse_counter import PulseCounter, PulseCounterSettings

__all__ = [
    "DigitalInput",
    "DigitalInputSettings",
    "DigitalOutput",
    "DigitalOutputSettings",
    "PulseCounter",
    "PulseCounterSettings",
]
