"""Who holds the connections: who comes and goes, seen by comparing polls."""

from collections import Counter
from collections.abc import Iterator

from exporter.collectors.base import Collector, Options, counter, samples
from exporter.diagnosis.sightings import Sighting
from exporter.diagnosis.states import STARTING
from exporter.exposition import Sample

OPENED = counter(
    "pgconn_connections_opened_total",
    "Connections of a client that were new in a poll: a lower bound, since what comes and goes"
    " between two polls is not seen.",
    ["client"],
)
CLOSED = counter(
    "pgconn_connections_closed_total",
    "Connections of a client that were gone in a poll: a lower bound.",
    ["client"],
)


class Churn(Collector[Sighting]):
    """Count the connections that were opened and closed, by client."""

    metrics = (OPENED, CLOSED)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        zero = {(group.name,): 0 for group in options.groups}
        self._opened, self._closed = Counter(zero), Counter(zero)
        self._before: dict[tuple[int, float | None], str] | None = None

    def interrupt(self) -> None:
        """Forget who was there: what happened while we could not look is not known."""
        self._before = None

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield the counters, after comparing with the last snapshot."""
        now = {
            (c.session.pid, c.session.backend_start): c.client
            for c in snapshot.connections
            if c.state != STARTING
        }
        for client in dict.fromkeys(now.values()):
            # A counter that starts at 1 has no rise that anybody could see: it starts at 0.
            self._opened[client,] += 0
            self._closed[client,] += 0
        if self._before is not None:
            self._opened.update((now[key],) for key in now.keys() - self._before.keys())
            self._closed.update((self._before[key],) for key in self._before.keys() - now.keys())
        self._before = now
        yield from samples(OPENED, self._opened)
        yield from samples(CLOSED, self._closed)
