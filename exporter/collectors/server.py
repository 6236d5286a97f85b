"""Can the picture be trusted: what the server is, and since when."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, gauge
from exporter.exposition import Sample
from exporter.snapshot import Settings

SERVER_INFO = gauge(
    "pgconn_server_info",
    "1; the server's version, and whether it is in recovery (a standby). As of the last poll.",
    ["version", "in_recovery"],
)
POSTMASTER_START = gauge(
    "pgconn_postmaster_start_time_seconds",
    "When the server was started, in seconds since the epoch on its own clock. As of the last"
    " poll.",
)


class Server(Collector[Settings]):
    """Tell the server's version, role and start."""

    metrics = (SERVER_INFO, POSTMASTER_START)

    def collect(self, snapshot: Settings) -> Iterator[Sample]:
        """Yield what the server is."""
        in_recovery = "true" if snapshot.in_recovery else "false"
        yield Sample(SERVER_INFO, (snapshot.version, in_recovery), 1)
        yield Sample(POSTMASTER_START, (), snapshot.postmaster_start)
