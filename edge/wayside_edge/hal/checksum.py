"""Checksums that sensors send along."""

from functools import cache


@cache
def _table(polynomial: int) -> bytes:
    table = bytearray()
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value & 0x80 else 0)
        table.append(value & 0xFF)
    return bytes(table)


def crc8(data: bytes, polynomial: int, initial: int = 0x00) -> int:
    """The 8-bit cyclic redundancy check of `data`, most significant bit first.

    Args:
        data: what is checked.
        polynomial: without its leading 1, as 0x31 of Sensirion's chips.
        initial: where the register begins.
    """
    table, value = _table(polynomial), initial
    for byte in data:
        value = table[value ^ byte]
    return value


def crc8_words(data: bytes, polynomial: int, initial: int) -> list[int] | None:
    """The 16-bit words in groups of three bytes, each word followed by its check; None when one does not fit."""
    words = []
    for start in range(0, len(data) - 2, 3):
        if crc8(data[start : start + 2], polynomial, initial) != data[start + 2]:
            return None
        words.append(data[start] << 8 | data[start + 1])
    return words
