"""Snapshots: immutable typed rows of one read of a server, with the server's own clock.

A row type's fields are the columns of its statement, in their order; `exporter.server` refuses a
result whose columns differ. Times are seconds since the epoch on the server's clock, never ours.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

CLIENT_BACKEND = "client backend"
"""The `backend_type` of what counts as a connection and takes one of the slots."""


class Session(NamedTuple):
    """One row of pg_stat_activity, and since when it waits for a lock (pg_locks.waitstart).

    `wait_start` is None where the session waits for no lock, and before PostgreSQL 14 always.
    `read_start` and `seen_at` are the server's clock when it took up the statement and when it
    gave out this row: their distance is what the poll cost the server, without the network.
    """

    pid: int
    leader_pid: int | None
    backend_type: str | None
    datname: str | None
    usename: str | None
    application_name: str | None
    client_addr: str | None
    client_port: int | None
    state: str | None
    wait_event_type: str | None
    wait_event: str | None
    backend_start: float | None
    xact_start: float | None
    query_start: float | None
    state_change: float | None
    wait_start: float | None
    read_start: float
    seen_at: float


@dataclass(frozen=True, slots=True)
class Activity:
    """Every session of a server at one moment."""

    sessions: tuple[Session, ...]
    own_pid: int

    @property
    def now(self) -> float:
        """Give the server's clock at the end of the read."""
        return self.sessions[-1].seen_at

    @property
    def server_seconds(self) -> float:
        """Give how long the server worked on the read."""
        return max(0.0, self.now - self.sessions[-1].read_start)

    @property
    def limited(self) -> bool:
        """Tell whether other roles' sessions are hidden from us (no pg_read_all_stats)."""
        # A parallel worker that has just ended has no type any more, but a start it has.
        return any(s.backend_type is None and s.backend_start is None for s in self.sessions)


class Limit(NamedTuple):
    """A CONNECTION LIMIT that is set: of a database (pg_database) or of a role (pg_roles)."""

    kind: str
    name: str
    connections: int


@dataclass(frozen=True, slots=True)
class Limits:
    """Every CONNECTION LIMIT of a server."""

    limits: tuple[Limit, ...]


class Settings(NamedTuple):
    """What a server is and how many clients it takes: pg_settings, and functions of the server.

    The reserves that a version or a vendor does not have are None.
    """

    version: str
    in_recovery: bool
    postmaster_start: float
    max_connections: int
    superuser_reserved: int
    reserved: int | None
    rds_superuser_reserved: int | None


class StatementRow(NamedTuple):
    """One entry of pg_stat_statements; `stats_since` exists from extension version 1.11 on."""

    userid: int
    dbid: int
    queryid: int
    toplevel: bool
    datname: str | None
    usename: str | None
    calls: int
    seconds: float
    rows: int
    stats_since: float | None


class StatementsInfo(NamedTuple):
    """pg_stat_statements_info (extension 1.9 on): evictions and the last reset."""

    evictions: int
    reset_at: float


@dataclass(frozen=True, slots=True)
class Statements:
    """Every entry of pg_stat_statements, and the texts of the statements that were asked for."""

    now: float
    rows: tuple[StatementRow, ...]
    info: StatementsInfo | None
    texts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What happened to one new connection; `sqlstate` is empty where nobody answered."""

    success: bool
    seconds: float
    sqlstate: str = ""
