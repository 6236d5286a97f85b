"""What a metric is, and one value of one of its series."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

OTHER = "other"
"""The label value that stands for everything that was folded together."""


class Kind(StrEnum):
    """The type of a metric, in OpenMetrics' words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE_HISTOGRAM = "gaugehistogram"
    SUMMARY = "summary"


class Fold(StrEnum):
    """How the series limit makes one series of many."""

    SUM = "sum"
    MAX = "max"
    DROP = "drop"


# Compared by identity: a declaration is a key for each of thousands of samples a second.
@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A declaration: its labels come after `target`, which every metric of a server has.

    `open_labels` are those whose values clients choose, and which the series limit may fold.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    fold: Fold = Fold.SUM
    open_labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Distribution:
    """The value of a histogram, gauge histogram or summary (which has no bounds).

    `counts` has one entry for each bound and a last one for what lies above: not cumulative.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Give each bucket's `le` and its cumulative count, +Inf last."""
        return zip(
            map(format_value, (*map(float, self.bounds), math.inf)),
            accumulate(self.counts),
            strict=True,
        )

    @property
    def count(self) -> int:
        """Give the number of observations."""
        return sum(self.counts)


class Sample(NamedTuple):
    """One value of one series; `labels` are the values of the metric's labels, in their order."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


def format_value(value: float) -> str:
    """Write a number as both formats read it.

    >>> format_value(3), format_value(0.25), format_value(math.inf)
    ('3', '0.25', '+Inf')
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+Inf" if value > 0 else "-Inf")
    return repr(value)
