"""What is good: how far each figure may grow, and how many polls may be missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from statistics import median
from typing import Final

from tests.soak.gauges import Gauges

ALLOWED: Final = 0.05
"""What is elastic may grow by this share, and may be missed; the others may not grow at all."""
ALLOWANCES: Final = {
    "used": ALLOWED,
    "rss": ALLOWED,
    "blocks": ALLOWED,
    "series": ALLOWED,
}
TITLES: Final = {
    "used": "memory in use, MB",
    "rss": "RSS, with free pieces, MB",
    "blocks": "objects in memory, thousands",
    "descriptors": "file descriptors",
    "tasks": "asyncio tasks",
    "threads": "threads, without asyncio's pool",
    "sessions": "our sessions on the servers",
    "series": "series, without statements and waits",
}


@dataclass(frozen=True, slots=True)
class Growth:
    """One figure at the start and at the end, and the share by which it may grow."""

    name: str
    start: float
    end: float
    allowed: float = 0.0

    @property
    def good(self) -> bool:
        """Tell whether it has grown by no more than is allowed."""
        return self.end <= self.start * (1 + self.allowed)

    def row(self) -> tuple[str, ...]:
        """Give the row of the table."""
        share = f"{100 * (self.end / self.start - 1):+.1f} %" if self.start else ""
        limit = f"{100 * self.allowed:.0f} %"
        values = f"{self.start:.6g}", f"{self.end:.6g}"
        return self.name, *values, share, limit, "good" if self.good else "GROWN"


def growths(start: Gauges, end: Gauges, **allowed: float) -> Iterator[Growth]:
    """Compare two rests; `allowed` are other shares than the usual ones, by figure."""
    shares = ALLOWANCES | allowed
    for field in fields(Gauges):
        values = getattr(start, field.name), getattr(end, field.name)
        yield Growth(TITLES[field.name], *values, shares.get(field.name, 0.0))


@dataclass(frozen=True, slots=True)
class Polls:
    """Polls of one healthy target: how many succeeded, and how many should have.

    `starved` is the share of the time in which the exporter had no processor: then nobody polls.
    """

    target: str
    made: float
    expected: float
    starved: float = 0.0

    @property
    def missed(self) -> float:
        """Give how many did not happen."""
        return max(0.0, self.expected - self.made)

    @property
    def allowed(self) -> float:
        """Give the share that may be missed."""
        return ALLOWED + self.starved

    @property
    def good(self) -> bool:
        """Tell whether hardly any was missed."""
        return self.missed <= self.allowed * self.expected

    def row(self) -> tuple[str, ...]:
        """Give the row of the table."""
        share = f"{100 * self.missed / self.expected:.2f} %"
        values = f"{self.expected:.0f}", f"{self.made:.0f}", f"{self.missed:.0f}"
        limit = f"{100 * ALLOWED:.0f} % + {100 * self.starved:.1f} %"
        return self.target, *values, share, limit, "good" if self.good else "TOO MANY"


def tenths(values: Sequence[float]) -> list[float]:
    """Give the median of each tenth of what was seen over time; fewer where there is less."""
    width = max(1.0, len(values) / 10)
    parts = [values[int(n * width) : int((n + 1) * width)] for n in range(10)]
    return [median(part) for part in parts if part]
