"""Can the picture be trusted: our own polls, and what we may see."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from exporter.collectors.base import counter, gauge, samples
from exporter.exposition import Distribution, Kind, Metric, Sample

ERRORS = counter(
    "pgconn_poll_errors_total",
    "Polls that failed, by reason. Only what the failed poll reads is missing then.",
    ["collector", "reason"],
)
DURATION = Metric(
    "pgconn_poll_duration_seconds",
    Kind.SUMMARY,
    "Time that polls took, failed ones included, with the wait for their turn on the connection.",
    ("collector",),
)
LAST_SUCCESS = gauge(
    "pgconn_poll_last_success_timestamp_seconds",
    "When a poll last succeeded, in seconds since the epoch; a probe does so, too, when it finds"
    " out that it is turned away.",
    ["collector"],
)
INTERVAL = gauge(
    "pgconn_poll_interval_seconds",
    "Interval in force, which is longer than the configured one where polls would cost more than"
    " max_overhead.",
    ["collector"],
)
PRIVILEGES_LIMITED = gauge(
    "pgconn_privileges_limited",
    "1 when our role cannot see other roles' sessions (no pg_monitor): what needs them is then"
    " missing. As of the last poll.",
)

METRICS = (ERRORS, DURATION, LAST_SUCCESS, INTERVAL, PRIVILEGES_LIMITED)


@dataclass(slots=True)
class PollRecord:
    """What became of the polls of one target, by collector. Times in seconds."""

    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    polls: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    last_success: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, float] = field(default_factory=dict)

    def polled(self, collector: str, seconds: float) -> None:
        """Note how long a poll took."""
        self.polls[collector] += 1
        self.seconds[collector] = self.seconds.get(collector, 0.0) + seconds

    def samples(self) -> Iterator[Sample]:
        """Yield everything that was noted."""
        yield from samples(ERRORS, self.errors)
        for collector, seconds in self.seconds.items():
            value = Distribution((), (self.polls[collector],), seconds)
            yield Sample(DURATION, (collector,), value)
        yield from samples(LAST_SUCCESS, _labelled(self.last_success.items()))
        yield from samples(INTERVAL, _labelled(self.intervals.items()))


def _labelled(pairs: Iterable[tuple[str, float]]) -> dict[tuple[str, ...], float]:
    return {(collector,): value for collector, value in pairs}
