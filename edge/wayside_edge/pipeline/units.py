"""Conversion between units of one dimension, all linear.

Source: UCUM, version 2.1, tables of base and derived units; the psi and the Fahrenheit scale from its customary units.
"""

from collections.abc import Mapping

Scale = tuple[str, float, float]
"""Dimension, factor and offset: value in the dimension's base unit = factor * value + offset."""

_SCALES: Mapping[str, Scale] = {
    "K": ("temperature", 1.0, 0.0),
    "Cel": ("temperature", 1.0, 273.15),
    "[degF]": ("temperature", 5.0 / 9.0, 273.15 - 32.0 * 5.0 / 9.0),
    "Pa": ("pressure", 1.0, 0.0),
    "hPa": ("pressure", 1e2, 0.0),
    "kPa": ("pressure", 1e3, 0.0),
    "mbar": ("pressure", 1e2, 0.0),
    "bar": ("pressure", 1e5, 0.0),
    "[psi]": ("pressure", 6894.757293168, 0.0),
    "mm[Hg]": ("pressure", 133.322387415, 0.0),
    "1": ("ratio", 1.0, 0.0),
    "%": ("ratio", 1e-2, 0.0),
    "[ppm]": ("ratio", 1e-6, 0.0),
    "[ppb]": ("ratio", 1e-9, 0.0),
    "V": ("voltage", 1.0, 0.0),
    "mV": ("voltage", 1e-3, 0.0),
    "uV": ("voltage", 1e-6, 0.0),
    "A": ("current", 1.0, 0.0),
    "mA": ("current", 1e-3, 0.0),
    "uA": ("current", 1e-6, 0.0),
    "W": ("power", 1.0, 0.0),
    "mW": ("power", 1e-3, 0.0),
    "kW": ("power", 1e3, 0.0),
    "J": ("energy", 1.0, 0.0),
    "W.h": ("energy", 3600.0, 0.0),
    "kW.h": ("energy", 3.6e6, 0.0),
    "m": ("length", 1.0, 0.0),
    "cm": ("length", 1e-2, 0.0),
    "mm": ("length", 1e-3, 0.0),
    "m/s": ("speed", 1.0, 0.0),
    "km/h": ("speed", 1.0 / 3.6, 0.0),
    "m/s2": ("acceleration", 1.0, 0.0),
    "[g]": ("acceleration", 9.80665, 0.0),
    "deg/s": ("rotation", 1.0, 0.0),
    "rad/s": ("rotation", 57.29577951308232, 0.0),
    "Ohm": ("resistance", 1.0, 0.0),
    "kOhm": ("resistance", 1e3, 0.0),
    "l": ("volume", 1.0, 0.0),
    "m3": ("volume", 1e3, 0.0),
    "l/min": ("flow", 1.0, 0.0),
    "m3/h": ("flow", 1e3 / 60.0, 0.0),
}


def conversion(given: str, wanted: str) -> tuple[float, float] | None:
    """`(factor, offset)` so that factor * x + offset is x of `given` in `wanted`; None when there is no way."""
    if given == wanted:
        return 1.0, 0.0
    if given not in _SCALES or wanted not in _SCALES:
        return None
    (dimension, factor, offset), (other, per, above) = _SCALES[given], _SCALES[wanted]
    return (factor / per, (offset - above) / per) if dimension == other else None


def convertible() -> list[str]:
    """The units that others can be converted to."""
    return list(_SCALES)
