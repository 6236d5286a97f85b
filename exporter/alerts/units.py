"""Numbers as people write them: 80%, 5m, 1GiB."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from math import isfinite
from typing import Final


class Unit(StrEnum):
    """What a number counts."""

    RATIO = "ratio"
    SECONDS = "seconds"
    COUNT = "count"
    BYTES = "bytes"
    PER_SECOND = "per second"
    FACTOR = "factor"


_DURATIONS: Final = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
_SIZES: Final = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_SUFFIXES: Final[Mapping[Unit, Mapping[str, float]]] = {
    Unit.SECONDS: _DURATIONS,
    Unit.BYTES: _SIZES,
    Unit.RATIO: {"%": 0.01},
}
_EXAMPLES: Final[Mapping[Unit, str]] = {
    Unit.RATIO: "above 0% and at most 100%, such as 80%",
    Unit.SECONDS: "a duration above 0, such as 90s or 1h30m",
    Unit.COUNT: "a number above 0, such as 5",
    Unit.BYTES: "a size above 0, such as 512MiB",
    Unit.PER_SECOND: "a number above 0, such as 20",
    Unit.FACTOR: "a number above 0, such as 3",
}
_DECIMALS: Final = {Unit.SECONDS: 3}  # Prometheus knows nothing shorter than a millisecond
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([a-zA-Z%]+)")


def parse_number(text: str, unit: Unit) -> float:
    """Read a number of a unit; ValueError says what would be right.

    >>> parse_number("80%", Unit.RATIO), parse_number("1h30m", Unit.SECONDS)
    (0.8, 5400.0)
    """
    try:
        number = round(_sum_of_parts(text.strip(), unit), _DECIMALS.get(unit, 9))
    except (KeyError, ValueError):
        number = -1.0
    if not isfinite(number) or number <= 0 or (unit is Unit.RATIO and number > 1):
        raise ValueError(f"{text!r} is not {_EXAMPLES[unit]}")
    return number


def _sum_of_parts(text: str, unit: Unit) -> float:
    scale = _SUFFIXES.get(unit, {})
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text:
        return float(text)
    return float(sum(round(float(number) * scale[suffix], 9) for number, suffix in parts))


def plain(number: float) -> str:
    """Write a number as PromQL takes it: never in exponents.

    >>> plain(0.8), plain(2.0**30)
    ('0.8', '1073741824')
    """
    return f"{number:.9f}".rstrip("0").rstrip(".")


def words(number: float, unit: Unit) -> str:
    """Write a number as people do.

    >>> words(0.8, Unit.RATIO), words(5400, Unit.SECONDS), words(2**30, Unit.BYTES)
    ('80%', '1h30m', '1GiB')
    """
    writers: Mapping[Unit, Callable[[float], str]] = {
        Unit.RATIO: lambda share: plain(share * 100) + "%",
        Unit.SECONDS: lambda seconds: _in_parts(seconds, _DURATIONS),
        Unit.BYTES: _size,
    }
    return writers.get(unit, plain)(number)


def _in_parts(number: float, scale: Mapping[str, float]) -> str:
    written = ""
    for suffix, size in scale.items():
        count = int(round(number / size, 6))
        if count:
            written += f"{count}{suffix}"
            number = round(number - count * size, 6)
    return written or "0s"


def _size(number: float) -> str:
    suffix, size = next(pair for pair in _SIZES.items() if number >= pair[1] or pair[1] == 1)
    return f"{plain(round(number / size, 2))}{suffix}"
