"""Cells of a CSV document."""

from typing import Final

FORMULA_STARTS: Final = tuple("=+-@\t\r＝＋－＠")


def guarded(text: str) -> str:
    """`text` so that no spreadsheet takes it for a formula (OWASP, CSV injection)."""
    return "'" + text if text.startswith(FORMULA_STARTS) else text
