"""Who holds the connections: sampled load, what each client's sessions spend their time on."""

from collections import Counter
from collections.abc import Iterator

from exporter.collectors.base import Collector, Options, counter, samples
from exporter.diagnosis.sightings import Sighting
from exporter.diagnosis.states import NOT_BUSY_STATES
from exporter.exposition import OTHER, Sample

SESSION_SECONDS = counter(
    "pgconn_session_seconds_total",
    "Sessions that are not idle, times the seconds between polls: its rate is the average number"
    " of sessions in that state. Running on a processor has empty wait labels.",
    ["client", "state", "wait_event_type", "wait_event"],
)


class Load(Collector[Sighting]):
    """Add up session seconds by client, state and wait event."""

    metrics = (SESSION_SECONDS,)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._seconds: Counter[tuple[str, ...]] = Counter()
        self._before: float | None = None

    def interrupt(self) -> None:
        """Forget the last poll: nobody knows what the sessions did meanwhile."""
        self._before = None

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield the counters, grown by the time since the last poll on the server's clock."""
        elapsed = 0.0 if self._before is None else max(0.0, snapshot.now - self._before)
        self._before = snapshot.now
        working = Counter(
            (c.client, c.state, c.session.wait_event_type or "", c.session.wait_event or "")
            for c in snapshot.connections
            if c.state not in NOT_BUSY_STATES
        )
        for labels, sessions in working.items():
            self._seconds[self._bounded(labels)] += sessions * elapsed  # type: ignore[assignment]
        yield from samples(SESSION_SECONDS, self._seconds)

    def _bounded(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Give where to count: extensions name wait events, so their number has no bound."""
        if labels in self._seconds or len(self._seconds) < self.options.max_series:
            return labels
        return (*labels[:-1], OTHER)
