"""What a table says where some of its rows have no such value."""

from collections.abc import Mapping
from typing import Final

from grafana.src.house import CLEAR, Word
from grafana.src.shared import complete

NOTHING: Final = -1
"""Stands for what is not there, so that a row of a table has no hole."""

NONE: Final[Mapping[float, Word]] = {NOTHING: Word("-", CLEAR)}
"""How a table shows it."""


def or_nothing(expr: str, rows: str, by: str) -> str:
    """Complete what only some have."""
    return complete(expr, rows, by, f"* 0 + ({NOTHING})")
