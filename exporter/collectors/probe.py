"""Can clients still connect: the probe opens a new connection."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, Options, counter, gauge, samples
from exporter.exposition import Distribution, Kind, Metric, Sample
from exporter.snapshot import ProbeResult

# From a Unix socket on the same machine to a login that needs seconds.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

SUCCESS = gauge("pgconn_probe_success", "1 when a new connection was accepted at the last probe.")
DURATION = Metric(
    "pgconn_probe_duration_seconds",
    Kind.HISTOGRAM,
    "Time to connect and log in, of the probes that were accepted.",
)
FAILURES = counter(
    "pgconn_probe_failures_total",
    "Probes that were not accepted, by SQLSTATE: 53300 is out of slots; empty when nobody"
    " answered; unknown when the server's words were not understood.",
    ["sqlstate"],
)
FAILING_SINCE = gauge(
    "pgconn_probe_failing_since_timestamp_seconds",
    "Since when probes fail, in seconds since the epoch: the first of all those in a row that were"
    " not accepted, up to the last probe. Absent while they are.",
)


class Probe(Collector[ProbeResult]):
    """Tell whether new connections are accepted."""

    metrics = (SUCCESS, FAILING_SINCE, DURATION, FAILURES)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        # The failures that matter most are there from the start, so that their first rise is seen.
        self._failures = Counter({("53300",): 0, ("",): 0})
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0
        self._failing_since: float | None = None

    def collect(self, snapshot: ProbeResult) -> Iterator[Sample]:
        """Yield the last result, and the counters."""
        if snapshot.success:
            self._counts[bisect_left(BOUNDS, snapshot.seconds)] += 1
            self._sum += snapshot.seconds
            self._failing_since = None
        else:
            self._failures[snapshot.sqlstate,] += 1
            self._failing_since = self._failing_since or snapshot.at
        yield Sample(SUCCESS, (), int(snapshot.success))
        if self._failing_since is not None:
            yield Sample(FAILING_SINCE, (), self._failing_since)
        yield Sample(DURATION, (), Distribution(BOUNDS, tuple(self._counts), self._sum))
        yield from samples(FAILURES, self._failures)
