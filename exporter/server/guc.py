"""Times as people write them into settings (`25s`, `0.5 h`, `0x10`), read as guc.c reads them."""

import re
from typing import Final

# What strtol takes, and what strtod takes where a point or an exponent follows that.
_INTEGER: Final = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT: Final = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F]+\.?[0-9a-fA-F]*(?:[pP][+-]?[0-9]+)?"
    r"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
)
_C_SPACES: Final = " \t\n\v\f\r"

# The largest first: a fraction is rounded to a multiple of the next.
_UNITS: Final[dict[str, dict[str, float]]] = {
    "ms": {"d": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1000, "ms": 1, "us": 1e-3},
    "s": {"d": 86_400, "h": 3600, "min": 60, "s": 1, "ms": 1e-3, "us": 1e-6},
}


def parse_integer(text: str, unit: str | None) -> int | None:
    """Give a setting's number in its own unit (pg_settings.unit); None where it is none.

    >>> parse_integer("25s", "ms"), parse_integer(" 0.5 h ", "s"), parse_integer("0x10", None)
    (25000, 1800, 16)
    """
    try:
        value, rest = _number(text)
        written = rest.strip(_C_SPACES)
        if value is not None and written:
            value = _convert(value, written, unit)
        # Python and rint both round a half to the even neighbour.
        return None if value is None else round(value)
    except OverflowError:
        return None


def _number(text: str) -> tuple[float | None, str]:
    """Split the number off that a text begins with."""
    stripped = text.lstrip(_C_SPACES)
    found = _INTEGER.match(stripped)
    if found is not None and stripped[found.end() : found.end() + 1] not in {".", "e", "E"}:
        return _strtol(found[0]), stripped[found.end() :]
    # Where strtol finds no digit it goes back to the very start, which must be the point then.
    if found is None and not text.startswith("."):
        return None, ""
    found = _FLOAT.match(stripped)
    return (None, "") if found is None else (_strtod(found[0]), stripped[found.end() :])


def _strtol(digits: str) -> float:
    """Read an integer; a leading zero makes it octal, as in C."""
    plain = digits.lstrip("+-")
    base = 16 if plain[:2].lower() == "0x" else 8 if plain.startswith("0") else 10
    return float(int(digits, base))


def _strtod(digits: str) -> float:
    return float.fromhex(digits) if "x" in digits.lower() else float(digits)


def _convert(value: float, written: str, unit: str | None) -> float | None:
    """Give a value in the setting's unit; None where it is written in one that does not exist."""
    table = _UNITS.get(unit or "", {})
    if written not in table:
        return None
    units = list(table)
    converted = value * table[written]
    if written == units[-1]:
        return converted
    smaller = table[units[units.index(written) + 1]]
    return round(converted / smaller) * smaller
