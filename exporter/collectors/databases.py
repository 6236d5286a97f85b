"""How sessions ended: by database, as the server itself counts (PostgreSQL 14 on)."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, counter
from exporter.exposition import Metric, Sample
from exporter.snapshot import DatabaseRow, Databases

Value = tuple[Metric, tuple[str, ...], float | None]

SESSIONS = counter(
    "pgconn_database_sessions_total",
    "Sessions that were established to a database (14 on).",
    ["datname"],
)
SESSIONS_ENDED = counter(
    "pgconn_database_sessions_ended_total",
    "Sessions that ended otherwise than by their client's goodbye: abandoned (the client"
    " vanished), fatal (an error, a timeout, or a client that was found gone in the middle of a"
    " query), killed (by an administrator). Counted when the session ends, not when its client"
    " does (14 on).",
    ["datname", "reason"],
)
SESSION_SECONDS = counter(
    "pgconn_database_session_seconds_total",
    "Time that sessions spent active, idle in transaction, and in all; added when a state or a"
    " session ends (14 on).",
    ["datname", "state"],
)
DEADLOCKS = counter(
    "pgconn_database_deadlocks_total", "Deadlocks that were detected in a database.", ["datname"]
)


class DatabaseSessions(Collector[Databases]):
    """Tell how many sessions there were, and how they ended."""

    metrics = (SESSIONS, SESSIONS_ENDED, SESSION_SECONDS, DEADLOCKS)

    def collect(self, snapshot: Databases) -> Iterator[Sample]:
        """Yield the counters of every database, those that the server has."""
        for row in snapshot.rows:
            for metric, labels, value in _counters(row):
                if value is not None:
                    yield Sample(metric, labels, value)


def _counters(row: DatabaseRow) -> Iterator[Value]:
    """Yield every counter of a database, None where the server does not have it."""
    name = row.datname
    yield DEADLOCKS, (name,), row.deadlocks
    yield SESSIONS, (name,), row.sessions
    yield SESSIONS_ENDED, (name, "abandoned"), row.abandoned
    yield SESSIONS_ENDED, (name, "fatal"), row.fatal
    yield SESSIONS_ENDED, (name, "killed"), row.killed
    yield SESSION_SECONDS, (name, "all"), row.session_seconds
    yield SESSION_SECONDS, (name, "active"), row.active_seconds
    yield SESSION_SECONDS, (name, "idle in transaction"), row.idle_in_transaction_seconds
