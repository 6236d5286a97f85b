"""What a server is: settings, limits, databases, replication; and whether it lets clients in."""

from dataclasses import dataclass
from typing import NamedTuple


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


class Timeout(NamedTuple):
    """The value of a setting that a new session gets, in its unit's base: seconds, or a count.

    Empty `datname` and `usename` are the server's own value; others are what ALTER DATABASE,
    ALTER ROLE and ALTER ROLE IN DATABASE have set (pg_db_role_setting).
    """

    setting: str
    datname: str
    usename: str
    value: float


@dataclass(frozen=True, slots=True)
class Configuration:
    """How a server is configured.

    `obscured` names the settings whose server value we cannot see, because our own role or
    database has another one.
    """

    settings: Settings
    timeouts: tuple[Timeout, ...]
    obscured: tuple[str, ...] = ()


class Limit(NamedTuple):
    """A CONNECTION LIMIT that is set: of a database (pg_database) or of a role (pg_roles)."""

    kind: str
    name: str
    connections: int


class DatabaseRow(NamedTuple):
    """One row of pg_stat_database since its last reset, times in seconds.

    What PostgreSQL 13 does not have is None.
    """

    datname: str
    deadlocks: int
    sessions: int | None
    session_seconds: float | None
    active_seconds: float | None
    idle_in_transaction_seconds: float | None
    abandoned: int | None
    fatal: int | None
    killed: int | None


@dataclass(frozen=True, slots=True)
class Databases:
    """Every database, and every CONNECTION LIMIT, of a server."""

    limits: tuple[Limit, ...]
    rows: tuple[DatabaseRow, ...]


class ReplicationSlot(NamedTuple):
    """One row of pg_replication_slots; `retained_bytes` is None for a slot that holds no WAL."""

    slot_name: str
    slot_type: str
    active: bool
    retained_bytes: float | None


@dataclass(frozen=True, slots=True)
class Replication:
    """Every replication slot, and how many WAL senders run of those that may."""

    slots: tuple[ReplicationSlot, ...]
    wal_senders_used: int
    wal_senders_max: int


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What happened to one new connection, begun `at` our time (no server may have answered).

    `sqlstate` is empty where nobody answered.
    """

    success: bool
    at: float
    seconds: float
    sqlstate: str = ""
