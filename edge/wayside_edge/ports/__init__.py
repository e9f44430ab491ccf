"""What the parts of the agent need from each other, as Protocols. The composition root (`app`) joins them."""

from wayside_edge.ports.buses import BusProvider, I2cBus, Registers, SpiDevice
from wayside_edge.ports.delivery import (
    ABSOLUTE,
    Appended,
    Clock,
    ClosedBatch,
    Connection,
    EpochState,
    Incoming,
    Loaded,
    Outbox,
    OutboxDelivery,
    Outgoing,
    Settled,
    Status,
    StoredBatch,
    Transport,
)
from wayside_edge.ports.sensing import Driver, DriverKind, Quantity, Reading, Steps, Waiting

__all__ = [
    "ABSOLUTE",
    "Appended",
    "BusProvider",
    "Clock",
    "ClosedBatch",
    "Connection",
    "Driver",
    "DriverKind",
    "EpochState",
    "I2cBus",
    "Incoming",
    "Loaded",
    "Outbox",
    "OutboxDelivery",
    "Outgoing",
    "Quantity",
    "Reading",
    "Registers",
    "Settled",
    "SpiDevice",
    "Status",
    "Steps",
    "StoredBatch",
    "Transport",
    "Waiting",
]
