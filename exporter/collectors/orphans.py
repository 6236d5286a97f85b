"""Are they orphaned: connections that nobody needs any more, by the strength of the proof."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, Options, gauge, samples
from exporter.collectors.connections import oldest
from exporter.diagnosis.orphans import Limits, OrphanFinder
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
    "1 while the TCP table of the server's host proves which clients are gone, 0 while it cannot"
    " be read or is that of another network namespace; only with proc: true. As of the last poll.",
)


class Orphans(Collector[Sighting]):
    """Count the orphaned connections."""

    metrics = (ORPHANED, ORPHANED_AGE_MAX, TCP_TABLE_USABLE)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._finder = OrphanFinder(
            Limits(
                options.request_timeouts,
                options.idle_timeouts,
                options.idle_after,
                options.idle_in_transaction_after,
            )
        )

    def interrupt(self) -> None:
        """Forget what was suspected."""
        self._finder.interrupt()

    def collect(self, snapshot: Sighting) -> Iterator[Sample]:
        """Yield counts and ages by reason."""
        found = [
            (
                (c.client, c.client_addr, c.usename, c.application_name, c.datname, reason.value),
                seconds,
            )
            for c, reason, seconds in self._finder.find(snapshot)
        ]
        yield from samples(ORPHANED, Counter(labels for labels, _ in found))
        yield from samples(ORPHANED_AGE_MAX, oldest(found))
        if snapshot.tcp_usable is not None:
            yield Sample(TCP_TABLE_USABLE, (), int(snapshot.tcp_usable))
