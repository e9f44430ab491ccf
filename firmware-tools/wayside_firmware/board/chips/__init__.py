"""The models of chips, each in a module of its own with a `MODEL`; imported only when named."""

import importlib
from collections.abc import Mapping

from wayside_firmware.board.chip import Model

MODELS: Mapping[str, str] = {
    "ads1115": "wayside_firmware.board.chips.ads1115",
    "adxl345": "wayside_firmware.board.chips.adxl345",
    "aht20": "wayside_firmware.board.chips.aht20",
    "bh1750": "wayside_firmware.board.chips.bh1750",
    "bme280": "wayside_firmware.board.chips.bme280",
    "bme680": "wayside_firmware.board.chips.bme680",
    "bmp280": "wayside_firmware.board.chips.bmp280",
    "ds2482": "wayside_firmware.board.chips.ds2482",
    "htu21d": "wayside_firmware.board.chips.htu21d",
    "ina219": "wayside_firmware.board.chips.ina219",
    "ina226": "wayside_firmware.board.chips.ina226",
    "lm75": "wayside_firmware.board.chips.lm75",
    "max31855": "wayside_firmware.board.chips.max31855",
    "max31865": "wayside_firmware.board.chips.max31865",
    "max6675": "wayside_firmware.board.chips.max6675",
    "mcp23017": "wayside_firmware.board.chips.mcp23017",
    "mcp3008": "wayside_firmware.board.chips.mcp3008",
    "mcp9808": "wayside_firmware.board.chips.mcp9808",
    "mpu6050": "wayside_firmware.board.chips.mpu6050",
    "pms5003": "wayside_firmware.board.chips.pms5003",
    "scd4x": "wayside_firmware.board.chips.scd4x",
    "sgp40": "wayside_firmware.board.chips.sgp40",
    "sht3x": "wayside_firmware.board.chips.sht3x",
    "sht4x": "wayside_firmware.board.chips.sht4x",
    "si7021": "wayside_firmware.board.chips.si7021",
    "tmp102": "wayside_firmware.board.chips.tmp102",
    "tmp117": "wayside_firmware.board.chips.tmp117",
    "veml7700": "wayside_firmware.board.chips.veml7700",
    "vl53l0x": "wayside_firmware.board.chips.vl53l0x",
}
"""The module of each model."""


def load(name: str) -> Model:
    """The model `name`.

    Raises:
        KeyError: there is none.
    """
    model: Model = importlib.import_module(MODELS[name]).MODEL
    return model
