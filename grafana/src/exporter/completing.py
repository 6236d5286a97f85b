"""What a table says where some of its rows have no such value."""

from collections.abc import Mapping
from typing import Final

from grafana.src.house import CLEAR, Word

NOTHING: Final = -1
"""Stands for what is not there, so that a row of a table has no hole."""

NONE: Final[Mapping[float, Word]] = {NOTHING: Word("-", CLEAR)}
"""How a table shows it."""


def or_nothing(expr: str, every: str, labels: str) -> str:
    """Complete what only some have."""
    return f"({expr}) or on ({labels}) ({every}) * 0 + ({NOTHING})"
