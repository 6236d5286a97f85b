"""The overhead limit: how far the intervals of a target's reads must be stretched."""

from collections.abc import Mapping

# How much of the cost of the newest poll goes into the average: some ten polls matter.
_WEIGHT = 0.2


class Pace:
    """Keep the cost of polling a target below a share of one core, the server's and our own."""

    def __init__(self, intervals: Mapping[str, float], max_overhead: float) -> None:
        """Take the configured intervals in seconds, by read, and the limit as a ratio."""
        self._intervals = dict(intervals)
        self._limit = max_overhead
        self._server: dict[str, float] = {}
        self._own: dict[str, float] = {}

    def spent(self, read: str, server: float, own: float) -> None:
        """Note the seconds of processor time that one poll cost the server, and cost us."""
        for averages, seconds in ((self._server, server), (self._own, own)):
            before = averages.get(read, seconds)
            averages[read] = before + _WEIGHT * (seconds - before)

    @property
    def stretch(self) -> float:
        """Give the factor of all intervals: 1 while the limit holds."""
        load = max(self._load(self._server), self._load(self._own))
        return max(1.0, load / self._limit)

    def _load(self, averages: Mapping[str, float]) -> float:
        return sum(seconds / self._intervals[read] for read, seconds in averages.items())

    def interval(self, read: str) -> float:
        """Give the interval of a read that is in force, in seconds."""
        return self._intervals[read] * self.stretch
