"""Sensors that the kernel has drivers for, through IIO, hwmon or the thermal zones."""

from wayside_edge.drivers.kernel.driver import KernelChannel, KernelSensor, KernelSettings, Source, there

__all__ = ["KernelChannel", "KernelSensor", "KernelSettings", "Source", "there"]
