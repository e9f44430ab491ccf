"""Any device that speaks Modbus."""

from wayside_edge.drivers.modbus.driver import KIND, Modbus
from wayside_edge.drivers.modbus.settings import ModbusRegister, ModbusSettings, Order, Type

__all__ = ["KIND", "Modbus", "ModbusRegister", "ModbusSettings", "Order", "Type"]
