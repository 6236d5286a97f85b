"""Who blocks whom: who waits for a lock, and for how long."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, gauge, samples
from exporter.collectors.connections import IDENTITY, oldest
from exporter.diagnosis.sightings import Sighting
from exporter.exposition import Fold, Sample

LABELS: Final = ("client", "usename", "application_name", "datname")

BLOCKED = gauge(
    "pgconn_blocked_connections",
    "Connections that wait for a lock which another session holds, or queues for. As of the last"
    " poll.",
    LABELS,
)
LOCK_WAIT_MAX = gauge(
    "pgconn_lock_wait_max_seconds",
    "Longest wait for a lock; before PostgreSQL 14 the age of the query, an upper bound. As of"
    " the last poll.",
    LABELS,
    Fold.MAX,
)
ROOT_BLOCKERS = gauge(
    "pgconn_root_blockers",
    "Sessions that block others and wait for nobody themselves; a prepared transaction has the"
    " client 'prepared transaction', a process of the server its backend_type. As of the last"
    " poll.",
    IDENTITY,
)
VICTIMS = gauge(
    "pgconn_root_blocker_victims",
    "Sessions that wait behind these root blockers, directly or indirectly. As of the last poll.",
    IDENTITY,
)
ROOT_AGE_MAX = gauge(
    "pgconn_root_blocker_age_max_seconds",
    "Age of the oldest transaction of these root blockers, as of the last poll.",
    IDENTITY,
    Fold.MAX,
)
DEPTH_MAX = gauge(
    "pgconn_blocking_depth_max",
    "Longest chain of sessions that wait for one another; those that queue for the same lock are"
    " one link. 0 while nobody waits. As of the last poll.",
)


class Blocking(Collector[Sighting]):
    """Count the connections that wait for a lock."""

    metrics = (BLOCKED, LOCK_WAIT_MAX, ROOT_BLOCKERS, VICTIMS, ROOT_AGE_MAX, DEPTH_MAX)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield counts and waits of those who wait, and who they wait for at the root."""
        blocked = [
            ((c.client, c.usename, c.application_name, c.datname), snapshot.waits[c.session.pid])
            for c in snapshot.connections
            if c.session.pid in snapshot.waits
        ]
        yield from samples(BLOCKED, Counter(labels for labels, _ in blocked))
        yield from samples(LOCK_WAIT_MAX, oldest(blocked))
        victims: Counter[tuple[str, ...]] = Counter()
        for root in snapshot.roots:
            victims[root.identity] += root.victims
        yield from samples(ROOT_BLOCKERS, Counter(root.identity for root in snapshot.roots))
        yield from samples(VICTIMS, victims)
        yield from samples(ROOT_AGE_MAX, oldest((r.identity, r.age) for r in snapshot.roots))
        yield Sample(DEPTH_MAX, (), snapshot.depth)
