"""Can the picture be trusted: what the server is, and since when."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, gauge
from exporter.exposition import Sample
from exporter.snapshot import Configuration

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


class Server(Collector[Configuration]):
    """Tell the server's version, role and start."""

    metrics = (SERVER_INFO, POSTMASTER_START)

    def collect(self, snapshot: Configuration) -> Iterator[Sample]:
        """Yield what the server is."""
        settings = snapshot.settings
        in_recovery = "true" if settings.in_recovery else "false"
        yield Sample(SERVER_INFO, (settings.version, in_recovery), 1)
        yield Sample(POSTMASTER_START, (), settings.postmaster_start)
