"""Can clients still connect: the slots of the server, and who takes them by database and role."""

from collections import Counter
from collections.abc import Iterator

from exporter.collectors.base import Collector, Options, gauge, samples
from exporter.diagnosis.peaks import Peak
from exporter.diagnosis.sightings import Sighting
from exporter.exposition import Sample
from exporter.snapshot import Configuration, Databases

SLOTS_MAX = gauge("pgconn_slots_max", "max_connections, as of the last poll.")
SLOTS_RESERVED = gauge(
    "pgconn_slots_reserved",
    "Slots that only this role may take: superuser_reserved_connections, reserved_connections"
    " (16 on), and a vendor's own. As of the last poll.",
    ["role"],
)
SLOTS_USABLE = gauge(
    "pgconn_slots_usable",
    "Slots that an ordinary role may take: max_connections less all that are reserved. As of the"
    " last poll.",
)
SLOTS_USED = gauge(
    "pgconn_slots_used",
    "Client backends, which are what takes a slot. Before 18, clients that are still logging in"
    " take one unseen. As of the last poll.",
)
SLOTS_USED_PEAK = gauge(
    "pgconn_slots_used_peak",
    "Highest pgconn_slots_used of any poll in the peak window, as of the last poll.",
)
DATABASE_CONNECTIONS = gauge(
    "pgconn_database_connections", "Connections to a database, as of the last poll.", ["datname"]
)
DATABASE_LIMIT = gauge(
    "pgconn_database_connection_limit",
    "CONNECTION LIMIT of a database, where one is set. As of the last poll.",
    ["datname"],
)
ROLE_CONNECTIONS = gauge(
    "pgconn_role_connections", "Connections of a role, as of the last poll.", ["usename"]
)
ROLE_LIMIT = gauge(
    "pgconn_role_connection_limit",
    "CONNECTION LIMIT of a role, where one is set. As of the last poll.",
    ["usename"],
)


class SlotsUsed(Collector[Sighting]):
    """Count the slots that are taken."""

    metrics = (SLOTS_USED, SLOTS_USED_PEAK, DATABASE_CONNECTIONS, ROLE_CONNECTIONS)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._peak = Peak(options.peak_window)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield how many slots are taken, and by whom."""
        used = len(snapshot.connections)
        yield Sample(SLOTS_USED, (), used)
        yield Sample(SLOTS_USED_PEAK, (), self._peak.add(snapshot.now, used))
        sessions = [connected.session for connected in snapshot.connections]
        yield from samples(DATABASE_CONNECTIONS, Counter((s.datname or "",) for s in sessions))
        yield from samples(ROLE_CONNECTIONS, Counter((s.usename or "",) for s in sessions))


class SlotsConfigured(Collector[Configuration]):
    """Tell how many slots there are."""

    metrics = (SLOTS_MAX, SLOTS_RESERVED, SLOTS_USABLE)

    def collect(self, snapshot: Configuration) -> Iterator[Sample]:
        """Yield the slots, those that are reserved, and those that are left."""
        settings = snapshot.settings
        reserved = {
            "superuser": settings.superuser_reserved,
            "pg_use_reserved_connections": settings.reserved,
            "rds_superuser": settings.rds_superuser_reserved,
        }
        existing = {(role,): slots for role, slots in reserved.items() if slots is not None}
        yield Sample(SLOTS_MAX, (), settings.max_connections)
        yield from samples(SLOTS_RESERVED, existing)
        yield Sample(SLOTS_USABLE, (), settings.max_connections - sum(existing.values()))


class ConnectionLimits(Collector[Databases]):
    """Tell the limits of databases and roles."""

    metrics = (DATABASE_LIMIT, ROLE_LIMIT)

    def collect(self, snapshot: Databases) -> Iterator[Sample]:
        """Yield the limits that are set."""
        for limit in snapshot.limits:
            metric = DATABASE_LIMIT if limit.kind == "database" else ROLE_LIMIT
            yield Sample(metric, (limit.name,), limit.connections)
