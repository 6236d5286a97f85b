"""Tables whose rows are all there, though not each has every value."""

from typing import Final

from grafana.src.house import CLEAR, Word

NOTHING: Final = Word("no size", CLEAR)
"""Stands where there is nothing to measure against; its value is -1."""


def complete(expr: str, rows: str, by: str, otherwise: str = "* 0") -> str:
    """Complete an expression, so that a table has all rows; `otherwise` makes the other value."""
    return f"{expr} and on ({by}) {rows} or on ({by}) {rows} {otherwise}"
