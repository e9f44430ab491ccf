"""Which addresses of an I2C bus answer, found out without harm.

The kinds of probe are those of i2cdetect (i2c-tools, tools/i2cbusses.c and i2cdetect.c): a write without data
everywhere but where EEPROMs live. On the write-protection addresses of memory modules (0x30 to 0x37) such a write
can lock a module for ever, and to some EEPROMs (0x50 to 0x5f) it is the beginning of a real one; there, a byte is read.
"""

import errno
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from wayside_edge.errors import BusError, DeviceAbsentError
from wayside_edge.ports import I2cBus

FIRST, LAST = 0x08, 0x77
"""What is below and above is reserved (UM10204, Table 4)."""
READ_ONLY: Final = frozenset((*range(0x30, 0x38), *range(0x50, 0x60)))
PATIENCE: Final = 3
"""Failures in a row, each of which takes a second of a line that is held low, after which a bus is given up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An address that answers, or whose probe failed in another way than by silence, which `trouble` then tells."""

    address: int
    trouble: str = ""


def answers(bus: I2cBus, held: Collection[int]) -> Iterator[Answer]:
    """The addresses of `bus` that answer, in order.

    Args:
        bus: probed at every free address.
        held: addresses that drivers of the kernel have; they are left alone.

    Raises:
        BusError: the bus cannot be opened, or is stuck.
    """
    failures = 0
    for address in range(FIRST, LAST + 1):
        if address in held:
            continue
        try:
            found = _probe(bus, address)
        except BusError as error:
            failures += 1
            if failures == PATIENCE or not _code(error):
                raise
            yield Answer(address, str(error))
        else:
            failures = 0
            if found:
                yield Answer(address)


def _probe(bus: I2cBus, address: int) -> bool:
    if address in READ_ONLY:
        return _acknowledged(bus, address, reading=True)
    try:
        return _acknowledged(bus, address, reading=False)
    except BusError as error:
        if _code(error) != errno.EOPNOTSUPP:
            raise
        # The controller cannot send an address alone (I2C_AQ_NO_ZERO_LEN in linux/i2c.h).
        return _acknowledged(bus, address, reading=True)


def _acknowledged(bus: I2cBus, address: int, *, reading: bool) -> bool:
    try:
        if reading:
            bus.read(address, 1)
        else:
            bus.write(address, b"")
    except DeviceAbsentError:
        return False
    except BusError as error:
        if _code(error) == errno.EIO:  # some adapters say so when nothing acknowledges
            return False
        raise
    return True


def _code(error: BusError) -> int:
    cause = error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0
