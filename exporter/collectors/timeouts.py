"""Which timeout is wrong: those that are in force, and where they do not fit a client's own."""

from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, Options, gauge
from exporter.diagnosis.timeouts import (
    RULES,
    Effective,
    Logins,
    Patience,
    active_detection,
    any_broken,
    expected_logins,
    idle_detection,
)
from exporter.exposition import Fold, Sample
from exporter.snapshot import Configuration

TIMEOUT = gauge(
    "pgconn_timeout_seconds",
    "Value of a timeout for new sessions, 0 for off: the server's own (empty datname and usename),"
    " and each that ALTER DATABASE or ALTER ROLE has set. Where tcp_keepalives are 0, the"
    " kernel's. As of the last poll.",
    ["setting", "datname", "usename"],
    Fold.DROP,
)
DEAD_CLIENT_DETECTION = gauge(
    "pgconn_dead_client_detection_seconds",
    "How long the server keeps the session of a client that vanished: idle until TCP keepalives"
    " go unanswered, which a silent network needs too; active until"
    " client_connection_check_interval sees that the client's end was closed, as by the kernel of"
    " a killed process; +Inf is until the query ends. As of the last poll.",
    ["session"],
)
TIMEOUT_MISMATCH = gauge(
    "pgconn_timeout_mismatch",
    "1 where a timeout of the server does not fit the client's own, for any role and database"
    " that the client logs in with; 0 where it was checked and does. As of the last poll.",
    ["client", "rule"],
)
CLIENT_TIMEOUT = gauge(
    "pgconn_client_timeout_seconds",
    "What a client does by itself, as the configuration tells it: request_timeout and idle_timeout,"
    " where it has them. The server's timeouts have to fit these.",
    ["client", "setting"],
)

# Not a time, but needed to tell one.
NOT_EXPORTED: Final = "tcp_keepalives_count"


class Timeouts(Collector[Configuration]):
    """Tell the timeouts that new sessions get, and the rules that they break."""

    metrics = (TIMEOUT, DEAD_CLIENT_DETECTION, TIMEOUT_MISMATCH, CLIENT_TIMEOUT)

    def __init__(self, options: Options, logins: Logins) -> None:
        super().__init__(options)
        self._logins = logins

    def collect(self, snapshot: Configuration) -> Iterator[Sample]:
        """Yield timeouts and rules."""
        for setting, datname, usename, value in snapshot.timeouts:
            if setting != NOT_EXPORTED:
                yield Sample(TIMEOUT, (setting, datname, usename), value)
        effective = Effective(snapshot)
        detections = {"idle": idle_detection(effective), "active": active_detection(effective)}
        for session, seconds in detections.items():
            if seconds is not None:
                yield Sample(DEAD_CLIENT_DETECTION, (session,), seconds)
        yield from self._mismatches(effective)
        yield from self._by_themselves()

    def _mismatches(self, effective: Effective) -> Iterator[Sample]:
        for group in self.options.groups:
            logins = expected_logins(group, self._logins.of(group.name))
            patience = self._patience(group.name)
            for name, rule in RULES.items():
                broken = any_broken(rule(effective, patience, login) for login in logins)
                if broken is not None:
                    yield Sample(TIMEOUT_MISMATCH, (group.name, name), int(broken))

    def _by_themselves(self) -> Iterator[Sample]:
        own = {
            "request_timeout": self.options.request_timeouts,
            "idle_timeout": self.options.idle_timeouts,
        }
        for setting, by_client in own.items():
            for client, seconds in by_client.items():
                yield Sample(CLIENT_TIMEOUT, (client, setting), seconds)

    def _patience(self, client: str) -> Patience:
        return Patience(
            self.options.request_timeouts.get(client),
            self.options.idle_timeouts.get(client),
            self.options.idle_after,
        )
