"""Which query is slow: those that run for too long, victims of a lock apart from culprits."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, gauge, samples
from exporter.collectors.connections import oldest
from exporter.diagnosis.sightings import Sighting, age
from exporter.diagnosis.states import ACTIVE_STATES
from exporter.exposition import Fold, Sample

LABELS: Final = ("client", "usename", "application_name", "datname", "blocked")

QUERY_AGE_MAX = gauge(
    "pgconn_query_age_max_seconds",
    "Age of the longest running query; blocked is true for victims of a lock and false for"
    " culprits. As of the last poll.",
    LABELS,
    Fold.MAX,
)
SLOW_QUERIES = gauge(
    "pgconn_slow_queries",
    "Queries that have been running for longer than slow_query_after, as of the last poll.",
    LABELS,
)


class Queries(Collector[Sighting]):
    """Tell how long queries have been running."""

    metrics = (QUERY_AGE_MAX, SLOW_QUERIES)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield the highest ages, and the number of queries that are slow."""
        running = list(_running(snapshot))
        slow = (labels for labels, seconds in running if seconds > self.options.slow_query_after)
        yield from samples(QUERY_AGE_MAX, oldest(running))
        yield from samples(SLOW_QUERIES, Counter(slow))


def _running(snapshot: Sighting) -> Iterator[tuple[tuple[str, ...], float]]:
    for c in snapshot.connections:
        if c.state not in ACTIVE_STATES:
            continue
        seconds = age(c.session.query_start, snapshot.now)
        if seconds is not None:
            blocked = "true" if c.session.pid in snapshot.waits else "false"
            yield (c.client, c.usename, c.application_name, c.datname, blocked), seconds
