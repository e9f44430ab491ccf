"""Settings of a BME680."""

from dataclasses import dataclass

from wayside_shared.settings import setting

OVERSAMPLING = (0, 1, 2, 4, 8, 16)
FILTERS = (0, 1, 3, 7, 15, 31, 63, 127)
"""In the order of their register codes (data sheet BST-BME680-DS001-01, sections 5.3.2.1 to 5.3.2.4)."""


@dataclass(frozen=True, slots=True)
class Bme680Settings:
    """Settings of a sensor of kind `bme680`."""

    address: int = setting(
        "I2C address: 0x76 with SDO at ground, 0x77 with SDO at VDDIO.", 0x76, choices=(0x76, 0x77), hexadecimal=True
    )
    temperature_oversampling: int = setting(
        "Conversions averaged; the others need it, so 0 leaves nothing.", 8, choices=OVERSAMPLING[1:]
    )
    pressure_oversampling: int = setting("Conversions averaged; 0 leaves pressure out.", 4, choices=OVERSAMPLING)
    humidity_oversampling: int = setting("Conversions averaged; 0 leaves humidity out.", 2, choices=OVERSAMPLING)
    filter: int = setting(
        "Coefficient of the chip's IIR filter for temperature and pressure; 0 is off.", 3, choices=FILTERS
    )
    heater_c: int = setting(
        "Temperature of the gas sensor's hot plate in °C, 200 to 400; 0 leaves the gas out.",
        320,
        minimum=0,
        maximum=400,
    )
    heater_ms: int = setting(
        "How long it is heated before it is measured, in ms; 30 ms are needed.", 150, minimum=1, maximum=4032
    )

    def __post_init__(self) -> None:
        if 0 < self.heater_c < 200:
            raise ValueError(f"heater_c = {self.heater_c}: the hot plate works from 200 °C to 400 °C; 0 turns it off")
