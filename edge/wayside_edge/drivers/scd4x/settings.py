"""Settings of an SCD4x."""

from dataclasses import dataclass
from enum import Enum

from wayside_shared.settings import setting

ADDRESS = 0x62


class Mode(Enum):
    """How often the chip measures."""

    PERIODIC = "periodic"
    LOW_POWER = "low_power"


@dataclass(frozen=True, slots=True)
class Scd4xSettings:
    """Settings of a sensor of kind `scd4x`."""

    address: int = setting("I2C address; all of these chips have 0x62.", ADDRESS, choices=(ADDRESS,), hexadecimal=True)
    mode: Mode = setting("periodic: measure every 5 s. low_power: every 30 s.", Mode.PERIODIC)
    temperature_offset_c: float = setting(
        "How much warmer than the air the chip is in its case, in kelvin; it takes that off.",
        4.0,
        minimum=0.0,
        maximum=20.0,
    )
    altitude_m: int | None = setting(
        "Height above the sea in metres, for the air pressure; 0 without one.", None, minimum=0, maximum=3000
    )
    ambient_pressure_hpa: float | None = setting(
        "Air pressure in hPa, instead of the height.", None, minimum=700.0, maximum=1200.0
    )
    automatic_calibration: bool = setting(
        "Take the lowest value of each week for fresh air of 400 ppm; only where fresh air comes in so often.", True
    )
    forced_calibration_ppm: int | None = setting(
        "Calibrate once, three minutes after the agent's start, to this concentration; remove the setting afterwards.",
        None,
        minimum=400,
        maximum=2000,
    )

    def __post_init__(self) -> None:
        if self.altitude_m is not None and self.ambient_pressure_hpa is not None:
            raise ValueError("altitude_m and ambient_pressure_hpa: the chip takes one or the other; remove one")

    @property
    def period_s(self) -> float:
        """From one measurement to the next."""
        return 5.0 if self.mode is Mode.PERIODIC else 30.0
