"""What a PgBouncer's console shows. Times in seconds; columns are taken by their names.

The console itself, which PgBouncer lists as a database, is left out everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class PoolRow(NamedTuple):
    """One row of SHOW POOLS; `clients` and `servers` count by state (cl_active is `active`)."""

    database: str
    user: str
    clients: Mapping[str, int]
    servers: Mapping[str, int]
    max_wait: float


class ServerRow(NamedTuple):
    """One row of SHOW SERVERS: a connection to PostgreSQL, as both ends tell it apart.

    `remote_pid` is its backend's; `local_port` the port that it comes from, as PostgreSQL's
    client_port (any value for a Unix socket).
    """

    remote_pid: int
    local_port: int
    local: bool


class DatabaseRow(NamedTuple):
    """One row of SHOW DATABASES; a limit, or a pool's size, of 0 is none."""

    database: str
    pool_size: int
    reserve_size: int
    max_connections: int
    connections: int
    paused: bool
    disabled: bool


class UserRow(NamedTuple):
    """One row of SHOW USERS (1.25 on): what a user's pools have instead of their database's."""

    user: str
    pool_size: int | None
    reserve_size: int | None


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools at one moment, their databases, and their connections to PostgreSQL.

    `paused` tells that all of PgBouncer is paused or suspended (1.19 on).
    """

    pools: tuple[PoolRow, ...]
    databases: tuple[DatabaseRow, ...]
    servers: tuple[ServerRow, ...]
    clients_used: int
    users: tuple[UserRow, ...] = ()
    paused: bool = False


class ClientRow(NamedTuple):
    """One row of SHOW CLIENTS; `client_addr` is `local` for a Unix socket."""

    database: str
    user: str
    client_addr: str
    application_name: str
    state: str


class TotalsRow(NamedTuple):
    """One row of SHOW STATS since PgBouncer started.

    `query_seconds` and `transaction_seconds` contain `wait_seconds`, the time in the queue.
    """

    database: str
    queries: int
    transactions: int
    query_seconds: float
    transaction_seconds: float
    wait_seconds: float
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """Every client, and what was done for all of them so far."""

    clients: tuple[ClientRow, ...]
    totals: tuple[TotalsRow, ...]


@dataclass(frozen=True, slots=True)
class PgBouncerConfiguration:
    """Version, limits and timeouts (SHOW VERSION, SHOW CONFIG); of these, those that it has."""

    version: str
    clients_max: int
    timeouts: Mapping[str, float]
