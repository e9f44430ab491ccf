"""ST VL53L0X: distance by the time that light takes."""

from wayside_edge.drivers.vl53l0x.driver import KIND, Vl53l0x, Vl53l0xSettings

__all__ = ["KIND", "Vl53l0x", "Vl53l0xSettings"]
