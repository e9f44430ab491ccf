"""Maxim MAX31865: a platinum resistance thermometer."""

from wayside_edge.drivers.max31865.driver import KIND, Max31865
from wayside_edge.drivers.max31865.settings import Element, Max31865Settings

__all__ = ["KIND", "Element", "Max31865", "Max31865Settings"]
