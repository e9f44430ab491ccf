"""Which registers of a Modbus device are read, and what they hold."""

from dataclasses import dataclass
from enum import Enum

from wayside_edge.ports import ModbusTable
from wayside_shared.settings import setting


class Type(Enum):
    """How a number is written in words of 16 bits."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"

    @property
    def words(self) -> int:
        """How many words it takes."""
        return int(self.value.lstrip("uintfloa")) // 16


class Order(Enum):
    """Which end comes first."""

    BIG = "big"
    """The most significant."""
    LITTLE = "little"


@dataclass(frozen=True, slots=True)
class ModbusRegister:
    """One series."""

    name: str = setting("Name of the series.", sample="voltage", pattern=r"[A-Za-z0-9_.-]{1,64}")
    address: int = setting(
        "Address on the wire, counted from 0: manuals that count from 40001 or 30001 mean 0 by that.",
        sample=0,
        minimum=0,
        maximum=65_535,
    )
    table: ModbusTable = setting("holding and input have words, coil and discrete bits.", ModbusTable.HOLDING)
    type: Type = setting("How the number is written, in words; bits are true or false.", Type.UINT16)
    word_order: Order = setting("The word that comes first, in numbers of several.", Order.BIG)
    byte_order: Order = setting("The byte that comes first in a word; the standard is big.", Order.BIG)
    scale: float = setting("What one stands for, in the unit.", 1.0)
    offset: float = setting("What zero stands for, in the unit.", 0.0)
    unit: str = setting("UCUM code of the unit.", "1", pattern=r"[!-~]{1,32}")

    @property
    def count(self) -> int:
        """Bits or words that it takes."""
        return 1 if self.table.is_bits else self.type.words


@dataclass(frozen=True, slots=True)
class ModbusSettings:
    """Settings of a sensor of kind `modbus`."""

    unit_id: int = setting(
        "The device's number on the line; gateways and single devices often take 1 or 255.", 1, minimum=0, maximum=255
    )
    max_count: int = setting(
        "Most words in one request; some devices give fewer than 125.", 125, minimum=4, maximum=125
    )
    max_gap: int = setting(
        "Words or bits between two registers that may be read along to save a request; many devices refuse to.",
        0,
        minimum=0,
        maximum=124,
    )
    registers: list[ModbusRegister] = setting("What to read.")

    def __post_init__(self) -> None:
        names = [register.name for register in self.registers]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two registers are named {twice!r}; names must differ")
        if not names:
            raise ValueError("no registers: add a [[sensor.registers]]")
        beyond = next((each.name for each in self.registers if each.address + each.count > 65_536), None)
        if beyond is not None:
            raise ValueError(f"register {beyond!r} goes beyond address 65535")
