"""Who holds the connections: by client, address, user, application, database and state."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from exporter.collectors.base import Collector, Options, gauge, samples
from exporter.diagnosis.peaks import Peak
from exporter.diagnosis.sightings import Sighting, age
from exporter.diagnosis.states import IDLE, NOT_BUSY_STATES
from exporter.exposition import Distribution, Fold, Kind, Metric, Sample

IDENTITY: Final = ("client", "client_addr", "usename", "application_name", "datname", "state")
IDLE_AGE_BOUNDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

CONNECTIONS = gauge("pgconn_connections", "Connections, as of the last poll.", IDENTITY)
STATE_AGE_MAX = gauge(
    "pgconn_connection_state_age_max_seconds",
    "Longest time that one of these connections has been in its state, as of the last poll.",
    IDENTITY,
    Fold.MAX,
)
CONNECTIONS_PEAK = gauge(
    "pgconn_connections_peak",
    "Highest number of connections of a client in any poll of the peak window, as of the last"
    " poll.",
    ["client"],
)
CONNECTION_AGE_MAX = gauge(
    "pgconn_connection_age_max_seconds",
    "Age of the oldest connection, as of the last poll.",
    ["client", "usename", "datname"],
    Fold.MAX,
)
IDLE_AGE = Metric(
    "pgconn_idle_age_seconds",
    Kind.GAUGE_HISTOGRAM,
    "For how long the connections in state idle have been idle, as of the last poll.",
    ("client",),
)
CLIENT_CONNECTIONS = gauge(
    "pgconn_client_connections", "All connections of a client, as of the last poll.", ["client"]
)
CLIENT_BUSY = gauge(
    "pgconn_client_busy_connections",
    "Connections of a client that are not idle: a pool is saturated when all of its connections"
    " are busy, not when they are open. As of the last poll.",
    ["client"],
)
CLIENT_POOL_SIZE = gauge(
    "pgconn_client_pool_size",
    "Configured pool size of a client: more connections than this cannot all be in the pool.",
    ["client"],
)
TRANSACTION_AGE_MAX = gauge(
    "pgconn_transaction_age_max_seconds",
    "Age of the oldest open transaction, as of the last poll.",
    ["client", "usename", "application_name", "datname", "state"],
    Fold.MAX,
)


class Connections(Collector[Sighting]):
    """Count the connections by who holds them, with their longest time in their state."""

    metrics = (CONNECTIONS, STATE_AGE_MAX)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield counts and ages."""
        identities = [c[1:] for c in snapshot.connections]
        ages = (age(c.session.state_change, snapshot.now) for c in snapshot.connections)
        yield from samples(CONNECTIONS, Counter(identities))
        yield from samples(STATE_AGE_MAX, oldest(zip(identities, ages, strict=True)))


def oldest(
    ages: Iterable[tuple[tuple[str, ...], float | None]],
) -> dict[tuple[str, ...], float]:
    """Give the highest age for each set of label values; unknown ones do not count."""
    found: dict[tuple[str, ...], float] = {}
    for labels, seconds in ages:
        if seconds is not None and seconds >= found.get(labels, 0.0):
            found[labels] = seconds
    return found


class ConnectionAges(Collector[Sighting]):
    """Tell how old connections and transactions are."""

    metrics = (CONNECTION_AGE_MAX, TRANSACTION_AGE_MAX)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield the highest ages."""
        now = snapshot.now
        yield from samples(
            CONNECTION_AGE_MAX,
            oldest(
                ((c.client, c.usename, c.datname), age(c.session.backend_start, now))
                for c in snapshot.connections
            ),
        )
        yield from samples(
            TRANSACTION_AGE_MAX,
            oldest(
                (
                    (c.client, c.usename, c.application_name, c.datname, c.state),
                    age(c.session.xact_start, now),
                )
                for c in snapshot.connections
                if c.session.xact_start is not None
            ),
        )


class IdleAges(Collector[Sighting]):
    """Tell how long the idle connections of each client have been idle."""

    metrics = (IDLE_AGE,)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield a distribution for each client that has idle connections."""
        ages: defaultdict[str, list[float]] = defaultdict(list)
        for connected in snapshot.connections:
            seconds = age(connected.session.state_change, snapshot.now)
            if connected.state == IDLE and seconds is not None:
                ages[connected.client].append(seconds)
        for client, observed in ages.items():
            yield Sample(IDLE_AGE, (client,), distribution(observed))


def distribution(observed: Iterable[float]) -> Distribution:
    """Sort idle ages into their buckets, whose upper bounds are inclusive."""
    values = list(observed)
    counts = Counter(bisect_left(IDLE_AGE_BOUNDS, value) for value in values)
    buckets = tuple(counts[index] for index in range(len(IDLE_AGE_BOUNDS) + 1))
    return Distribution(IDLE_AGE_BOUNDS, buckets, sum(values))


class ClientTotals(Collector[Sighting]):
    """Count the connections of each client, and those that work; configured clients always."""

    metrics = (CLIENT_CONNECTIONS, CLIENT_BUSY, CLIENT_POOL_SIZE, CONNECTIONS_PEAK)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._configured = dict.fromkeys((group.name for group in options.groups), 0)
        self._peaks: dict[str, Peak] = {}

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield totals for each client that is configured or seen, and its pool size."""
        totals = Counter(self._configured)
        totals.update(c.client for c in snapshot.connections)
        busy = Counter(c.client for c in snapshot.connections if c.state not in NOT_BUSY_STATES)
        for client, count in totals.items():
            yield Sample(CLIENT_CONNECTIONS, (client,), count)
            yield Sample(CLIENT_BUSY, (client,), busy[client])
        for client, size in self.options.pool_sizes.items():
            yield Sample(CLIENT_POOL_SIZE, (client,), size)
        for client, peak in self._advance(snapshot.now, totals).items():
            yield Sample(CONNECTIONS_PEAK, (client,), peak)

    def _advance(self, now: float, totals: Counter[str]) -> dict[str, float]:
        """Give each client's peak; one that has left keeps it until the window is over."""
        for client in totals:
            self._peaks.setdefault(client, Peak(self.options.peak_window))
        peaks = {client: peak.add(now, totals[client]) for client, peak in self._peaks.items()}
        gone = [client for client, peak in peaks.items() if not peak and client not in totals]
        for client in gone:
            del self._peaks[client], peaks[client]
        return peaks
