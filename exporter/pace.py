"""The overhead limit: how far the intervals of a target's reads must be stretched."""

from collections import defaultdict, deque
from collections.abc import Mapping
from functools import partial

# Costs are taken by a clock, not by a processor: what is busy with others makes them look higher.
# So the least of some polls is nearest to the truth, and a bad moment does not blind us for long.
_POLLS = 5

_Costs = defaultdict[str, deque[float]]


class Pace:
    """Keep the cost of polling a target below a share of one core, the server's and our own."""

    def __init__(self, intervals: Mapping[str, float], max_overhead: float) -> None:
        """Take the configured intervals in seconds, by read, and the limit as a ratio."""
        self._intervals = dict(intervals)
        self._limit = max_overhead
        self._server: _Costs = defaultdict(partial(deque[float], maxlen=_POLLS))
        self._own: _Costs = defaultdict(partial(deque[float], maxlen=_POLLS))

    def spent(self, read: str, server: float, own: float) -> None:
        """Note the seconds of processor time that one poll cost the server, and cost us."""
        self._server[read].append(server)
        self._own[read].append(own)

    @property
    def stretch(self) -> float:
        """Give the factor of all intervals: 1 while the limit holds."""
        load = max(self._load(self._server), self._load(self._own))
        return max(1.0, load / self._limit)

    def _load(self, costs: Mapping[str, deque[float]]) -> float:
        return sum(min(seconds) / self._intervals[read] for read, seconds in costs.items())

    def interval(self, read: str) -> float:
        """Give the interval of a read that is in force, in seconds."""
        return self._intervals[read] * self.stretch
