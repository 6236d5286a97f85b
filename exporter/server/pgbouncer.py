"""What a PgBouncer's console is asked, and how its answers are read.

Columns are found by their names: 1.24 renamed reserve_pool, and nearly every version adds some.
Nothing is asked that the version does not have, since PgBouncer logs each error.
"""

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, Final, LiteralString, cast

from exporter.server.connection import Connection, Result
from exporter.server.console import DBNAME
from exporter.server.errors import QueryError
from exporter.snapshot.pgbouncer import (
    ClientRow,
    DatabaseRow,
    PgBouncerConfiguration,
    PoolRow,
    Pools,
    ServerRow,
    TotalsRow,
    Traffic,
    UserRow,
)

SHOW_STATE_SINCE: Final = 1_19_00
# Users have pool sizes from 1.23 on, but before 1.25 SHOW USERS repeats a user's for those below
# who have none (pgbouncer issue 1323).
USER_SIZES_SINCE: Final = 1_25_00

TIMEOUTS: Final = (
    "query_timeout",
    "query_wait_timeout",
    "transaction_timeout",
    "idle_transaction_timeout",
    "client_idle_timeout",
    "client_login_timeout",
    "server_connect_timeout",
    "server_idle_timeout",
    "reserve_pool_timeout",
    "cancel_wait_timeout",
    "suspend_timeout",
    "autodb_idle_timeout",
    "tcp_user_timeout",
)
"""The timeouts of any version; all in seconds, but tcp_user_timeout in milliseconds."""

Number = int | Decimal | str


class Table:
    """The answer to one SHOW, its columns found by their names."""

    def __init__(self, command: str, result: Result) -> None:
        self._command = command
        self.columns, self._rows = result

    def pick(self, *names: str, optional: Collection[str] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the values of these columns, row by row; None for an optional one that lacks."""
        lacking = [name for name in names if name not in self.columns]
        if missing := [name for name in lacking if name not in optional]:
            raise QueryError(f"{self._command} of this PgBouncer has no column {missing[0]}")
        places = [None if name in lacking else self.columns.index(name) for name in names]
        for row in self._rows:
            yield tuple(None if place is None else row[place] for place in places)

    def mapping(self, key: str, value: str) -> dict[str, Any]:
        """Give a table of keys and values."""
        return dict(cast("Iterator[tuple[str, Any]]", self.pick(key, value)))


async def show(connection: Connection, what: LiteralString) -> Table:
    """Ask the console for one of its tables."""
    return Table(f"SHOW {what}", await connection.fetch_table("SHOW " + what))


async def read_pools(connection: Connection) -> Pools:
    """Read the pools, their databases, and their connections to PostgreSQL."""
    pools = await show(connection, "POOLS")
    servers = await show(connection, "SERVERS")
    databases = await show(connection, "DATABASES")
    lists = await show(connection, "LISTS")
    version = connection.server_version
    users = await show(connection, "USERS") if version >= USER_SIZES_SINCE else None
    state = await show(connection, "STATE") if version >= SHOW_STATE_SINCE else None
    return Pools(
        tuple(pool_rows(pools)),
        tuple(database_rows(databases)),
        tuple(server_rows(servers)),
        clients_used=int(lists.mapping("list", "items")["used_clients"]),
        users=tuple(user_rows(users)) if users else (),
        paused=state is not None and state.mapping("key", "value").get("active") == "no",
    )


async def read_traffic(connection: Connection) -> Traffic:
    """Read every client, and the totals."""
    clients = await show(connection, "CLIENTS")
    stats = await show(connection, "STATS")
    return Traffic(tuple(client_rows(clients)), tuple(totals_rows(stats)))


async def read_pgbouncer_configuration(connection: Connection) -> PgBouncerConfiguration:
    """Read version, limits and timeouts."""
    [(version,)] = (await show(connection, "VERSION")).pick("version")
    config = (await show(connection, "CONFIG")).mapping("key", "value")
    return PgBouncerConfiguration(
        version.removeprefix("PgBouncer "),
        int(config["max_client_conn"]),
        timeouts(config),
    )


def pool_rows(table: Table) -> Iterator[PoolRow]:
    """Yield the pools of SHOW POOLS; each column cl_ or sv_ is a state, whichever there are."""
    clients = [column for column in table.columns if column.startswith("cl_")]
    servers = [column for column in table.columns if column.startswith("sv_")]
    names = ("database", "user", "maxwait", "maxwait_us", *clients, *servers)
    for database, user, seconds, microseconds, *counts in table.pick(*names):
        if database != DBNAME:
            yield PoolRow(
                database,
                user,
                _by_state(clients, counts),
                _by_state(servers, counts[len(clients) :]),
                int(seconds) + _seconds(microseconds),
            )


def _by_state(columns: list[str], counts: list[Number]) -> dict[str, int]:
    """Give counts by state; further ones are another's."""
    return {
        column.partition("_")[2]: int(count) for column, count in zip(columns, counts, strict=False)
    }


def database_rows(table: Table) -> Iterator[DatabaseRow]:
    """Yield the databases of SHOW DATABASES."""
    reserve = "reserve_pool_size" if "reserve_pool_size" in table.columns else "reserve_pool"
    limits = ("pool_size", reserve, "max_connections", "current_connections")
    for name, *numbers, paused, disabled in table.pick("name", *limits, "paused", "disabled"):
        if name != DBNAME:
            pool_size, reserve_size, limit, connections = map(int, numbers)
            flags = bool(int(paused)), bool(int(disabled))
            yield DatabaseRow(name, pool_size, reserve_size, limit, connections, *flags)


def user_rows(table: Table) -> Iterator[UserRow]:
    """Yield the users of SHOW USERS who have sizes of their own."""
    for user, *sizes in table.pick("name", "pool_size", "reserve_pool_size"):
        given = [int(size) if str(size or "").strip() else None for size in sizes]
        if given != [None, None]:
            yield UserRow(user, *given)


def server_rows(table: Table) -> Iterator[ServerRow]:
    """Yield the connections of SHOW SERVERS; one that is only being made has no backend yet."""
    for pid, port, address in table.pick("remote_pid", "local_port", "addr"):
        if int(pid):
            yield ServerRow(int(pid), int(port), _is_local(address))


def client_rows(table: Table) -> Iterator[ClientRow]:
    """Yield the clients of SHOW CLIENTS."""
    names = ("database", "user", "addr", "application_name", "state")
    optional = ("application_name",)  # 1.18 on
    for database, user, address, application_name, state in table.pick(*names, optional=optional):
        if database != DBNAME:
            place = "local" if _is_local(address) else address
            yield ClientRow(database, user, place, application_name or "", state)


def totals_rows(table: Table) -> Iterator[TotalsRow]:
    """Yield the totals of SHOW STATS, which has times in microseconds."""
    counts = ("total_query_count", "total_xact_count")
    times = ("total_query_time", "total_xact_time", "total_wait_time")
    sizes = ("total_received", "total_sent")
    for database, *numbers in table.pick("database", *counts, *times, *sizes):
        if database != DBNAME:
            queries, transactions, query, transaction, wait, received, sent = numbers
            yield TotalsRow(
                database,
                int(queries),
                int(transactions),
                _seconds(query),
                _seconds(transaction),
                _seconds(wait),
                int(received),
                int(sent),
            )


def timeouts(config: dict[str, str]) -> dict[str, float]:
    """Give the timeouts that a version has, in seconds."""
    found: dict[str, float] = {name: float(config[name]) for name in TIMEOUTS if name in config}
    if "tcp_user_timeout" in found:
        found["tcp_user_timeout"] /= 1000
    return found


def _seconds(microseconds: Number) -> float:
    """Give seconds.

    >>> _seconds(Decimal(1_500_000))
    1.5
    """
    return int(microseconds) / 1e6


def _is_local(address: str) -> bool:
    """Tell whether a connection is a Unix socket.

    >>> _is_local("unix"), _is_local("unix(4711)"), _is_local("10.0.1.5")
    (True, True, False)
    """
    return address.startswith("unix")
