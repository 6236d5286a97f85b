"""Are they orphaned: connections that nobody needs any more, by the strength of the proof."""

from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, gauge
from exporter.diagnosis.sightings import Sighting
from exporter.exposition import Fold, Sample

LABELS: Final = ("client", "client_addr", "usename", "application_name", "datname", "reason")

ORPHANED = gauge(
    "pgconn_orphaned_connections",
    "Connections that nobody needs any more; each has one reason, the one that is proven best:"
    " client_gone, query_outlived_client, idle_in_transaction_too_long or idle_too_long. As of the"
    " last poll.",
    LABELS,
)
ORPHANED_AGE_MAX = gauge(
    "pgconn_orphaned_connection_age_max_seconds",
    "Longest time that one of these connections has been in its state, as of the last poll.",
    LABELS,
    Fold.MAX,
)
TCP_TABLE_USABLE = gauge(
    "pgconn_tcp_table_usable",
    "1 when the TCP table of the server's host was read and shows our own connections: a client"
    " that is gone is then proven by it; 0 when not. Only with proc: true. As of the last poll.",
)


class Orphans(Collector[Sighting]):
    """Count the orphaned connections."""

    metrics = (ORPHANED, ORPHANED_AGE_MAX, TCP_TABLE_USABLE)

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield counts and ages by reason."""
        del snapshot
        yield from ()
