"""InvenSense MPU-6050: acceleration, rotation and temperature."""

from wayside_edge.drivers.mpu6050.driver import KIND, Mpu6050
from wayside_edge.drivers.mpu6050.settings import Mpu6050Settings, Parts

__all__ = ["KIND", "Mpu6050", "Mpu6050Settings", "Parts"]
