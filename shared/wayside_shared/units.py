"""Units are UCUM codes (ucum.org, case sensitive); SenML's own unit names are translated to them."""

import re

from wayside_shared.errors import RejectedError
from wayside_shared.rejects import RejectCode

KNOWN: dict[str, str] = {
    "1": "dimensionless, or a ratio from 0 to 1",
    "%": "percent",
    "Cel": "degree Celsius",
    "K": "kelvin",
    "Pa": "pascal",
    "hPa": "hectopascal",
    "kPa": "kilopascal",
    "lx": "lux",
    "[ppm]": "parts per million",
    "[ppb]": "parts per billion",
    "ug/m3": "microgram per cubic metre",
    "V": "volt",
    "mV": "millivolt",
    "A": "ampere",
    "mA": "milliampere",
    "W": "watt",
    "W.h": "watt hour",
    "J": "joule",
    "Ohm": "ohm",
    "Hz": "hertz",
    "s": "second",
    "ms": "millisecond",
    "m": "metre",
    "mm": "millimetre",
    "m/s": "metre per second",
    "m/s2": "metre per second squared",
    "deg": "degree of angle",
    "deg/s": "degree of angle per second",
    "By": "byte",
    "KiBy": "kibibyte",
    "By/s": "byte per second",
    "bit/s": "bit per second",
    "kg": "kilogram",
    "g": "gram",
    "g/m3": "gram per cubic metre",
    "l": "litre",
    "l/min": "litre per minute",
    "m3": "cubic metre",
    "/min": "per minute",
    "{count}": "a count of events",
}
"""The codes that our own drivers use, with their meaning."""

_FROM_SENML = {
    "%RH": "%",
    "%EL": "%",
    "/": "1",
    "B": "By",
    "B/s": "By/s",
    "lat": "deg",
    "lon": "deg",
    "count": "{count}",
    "ppm": "[ppm]",
    "ppb": "[ppb]",
    "/100": "%",
    "Ah": "A.h",
    "Wh": "W.h",
    "kWh": "kW.h",
    "VA": "V.A",
    "VAh": "V.A.h",
    "KiB": "KiBy",
    "GB": "GBy",
    "MB/s": "MBy/s",
}
"""SenML unit names (RFC 8428 section 12.1, RFC 8798 section 3) whose UCUM code differs."""

_SENML_SUFFIXES = {"lat": ".lat", "lon": ".lon", "%EL": ".level"}
"""SenML unit names that say what is measured and share their UCUM code: one name may carry several of them."""

_CODE = re.compile(r"[!-~]{1,32}\Z")


def check_unit(code: str) -> str:
    """`code` itself, when it can be a UCUM code: 1 to 32 printable ASCII signs without spaces.

    Raises:
        RejectedError: it cannot; code BAD_UNIT.
    """
    if _CODE.match(code) is None:
        raise RejectedError(RejectCode.BAD_UNIT, f"unit {code[:40]!r} is not a UCUM code of 1 to 32 ASCII signs")
    return code


def from_senml(unit: str) -> str:
    """The UCUM code for SenML's unit name `unit`.

    Raises:
        RejectedError: it can be no unit; code BAD_UNIT.
    """
    return check_unit(_FROM_SENML.get(unit, unit))


def senml_suffix(unit: str) -> str:
    """What keeps the series of SenML's unit name `unit` apart where its UCUM code does not: `.lat` for `lat`."""
    return _SENML_SUFFIXES.get(unit, "")
