"""What PgBouncer's console shows, read by the names of its columns, whichever version it is."""

from decimal import Decimal
from typing import Any

import pytest

from exporter.server import pgbouncer
from exporter.server.errors import QueryError
from exporter.server.pgbouncer import Table
from exporter.snapshot.pgbouncer import (
    ClientRow,
    DatabaseRow,
    PoolRow,
    ServerRow,
    TotalsRow,
    UserRow,
)


def table(*rows: dict[str, Any]) -> Table:
    """Make the answer to a SHOW."""
    return Table("SHOW THIS", (tuple(rows[0]), [tuple(row.values()) for row in rows]))


# 1.18, as a real one shows them.
POOL = {"database": "shop", "user": "app", "cl_active": 2, "cl_waiting": 3} | {
    "cl_active_cancel_req": 0,
    "sv_active": 2,
    "sv_being_canceled": 1,
    "sv_idle": 0,
    "maxwait": 1,
    "maxwait_us": 500000,
    "pool_mode": "transaction",
}
DATABASE = {"name": "shop", "host": "10.0.0.9", "port": 5432, "database": "shop"} | {
    "force_user": None,
    "pool_size": 20,
    "min_pool_size": 0,
    "reserve_pool": 5,
    "pool_mode": None,
    "max_connections": 50,
    "current_connections": 17,
    "paused": 0,
    "disabled": 0,
}
CLIENT = {"type": "C", "user": "app", "database": "shop", "state": "active"} | {
    "addr": "10.0.1.5",
    "port": 40001,
    "local_addr": "10.0.0.8",
    "local_port": 6432,
    "remote_pid": 0,
    "application_name": "gunicorn",
}
SERVER = CLIENT | {"type": "S", "addr": "10.0.0.9", "local_port": 51000, "remote_pid": 4711}
STATS = {"database": "shop", "total_xact_count": Decimal(7), "total_query_count": Decimal(9)} | {
    "total_received": Decimal(100),
    "total_sent": Decimal(2**63),
    "total_xact_time": Decimal(5_000_000),
    "total_query_time": Decimal(4_000_000),
    "total_wait_time": Decimal(1_500_000),
    "avg_wait_time": Decimal(3),
}
CONSOLE = {"database": "pgbouncer", "name": "pgbouncer"}


def without_console(row: dict[str, Any]) -> Table:
    """Make a table that has the console itself in it, as it has in PgBouncer."""
    return table(row | {key: CONSOLE[key] for key in CONSOLE if key in row}, row)


def test_pools() -> None:
    """Every state is counted by its name, and the wait has its fraction."""
    assert list(pgbouncer.pool_rows(without_console(POOL))) == [
        PoolRow(
            "shop",
            "app",
            {"active": 2, "waiting": 3, "active_cancel_req": 0},
            {"active": 2, "being_canceled": 1, "idle": 0},
            1.5,
        )
    ]


def test_pools_of_other_versions() -> None:
    """A state that a version has, or has not, is there, or is not; 1.24 adds no state."""
    old = {k: v for k, v in POOL.items() if "cancel" not in k} | {"cl_cancel_req": 4}
    [row] = pgbouncer.pool_rows(table(old))
    assert row.clients == {"active": 2, "waiting": 3, "cancel_req": 4}
    assert row.servers == {"active": 2, "idle": 0}
    [row] = pgbouncer.pool_rows(table(POOL | {"load_balance_hosts": None}))
    assert row.clients["waiting"] == 3


def test_databases() -> None:
    """The reserve has had another name since 1.24."""
    expected = DatabaseRow("shop", 20, 5, 50, 17, paused=False, disabled=False)
    assert list(pgbouncer.database_rows(without_console(DATABASE))) == [expected]
    new = DATABASE | {"server_lifetime": 3600, "max_client_connections": 0, "paused": "1"}
    new["reserve_pool_size"] = new.pop("reserve_pool")
    assert list(pgbouncer.database_rows(without_console(new))) == [expected._replace(paused=True)]


def test_servers() -> None:
    """Each is told by what PostgreSQL knows of it; one that logs in has no backend."""
    unix = SERVER | {"addr": "unix", "local_addr": "unix", "remote_pid": 4712}
    assert list(pgbouncer.server_rows(table(SERVER, unix, SERVER | {"remote_pid": 0}))) == [
        ServerRow(4711, 51000, local=False),
        ServerRow(4712, 51000, local=True),
    ]


def test_clients() -> None:
    """Before 1.18 they have no application_name; whoever comes by the Unix socket is local."""
    expected = ClientRow("shop", "app", "10.0.1.5", "gunicorn", "active")
    assert list(pgbouncer.client_rows(without_console(CLIENT))) == [expected]
    new = CLIENT | {"replication": "none", "state": "idle", "prepared_statements": 3, "id": 17}
    assert list(pgbouncer.client_rows(table(new))) == [expected._replace(state="idle")]
    old = {key: value for key, value in CLIENT.items() if key != "application_name"}
    assert list(pgbouncer.client_rows(table(old | {"addr": "unix(4711)"}))) == [
        expected._replace(application_name="", client_addr="local")
    ]


@pytest.mark.parametrize("kind", [Decimal, int, str])
def test_totals(kind: type) -> None:
    """Numbers come in several types, and times in microseconds."""
    row = {key: value if key == "database" else kind(value) for key, value in STATS.items()}
    new = {"total_server_assignment_count": kind(3), **row, "total_bind_count": kind(8)}
    expected = [TotalsRow("shop", 9, 7, 4.0, 5.0, 1.5, 100, 2**63)]
    assert list(pgbouncer.totals_rows(without_console(row))) == expected
    assert list(pgbouncer.totals_rows(without_console(new))) == expected


@pytest.mark.parametrize("unset", ["", None])
def test_users(unset: str | None) -> None:
    """Those who have a size of their own have it; PgBouncer pads the number with spaces."""
    rows = [
        {"name": "app", "pool_size": "        1", "reserve_pool_size": unset},
        {"name": "batch", "pool_size": unset, "reserve_pool_size": "        0"},
        {"name": "postgres", "pool_size": unset, "reserve_pool_size": unset},
    ]
    assert list(pgbouncer.user_rows(table(*rows))) == [
        UserRow("app", 1, None),
        UserRow("batch", None, 0),
    ]


def test_timeouts() -> None:
    """Those that a version has, in seconds; nothing else that it is configured with."""
    config = {"query_timeout": "0", "query_wait_timeout": "120", "tcp_user_timeout": "1500"}
    others = {"listen_addr": "*", "server_lifetime": "3600", "auth_user": None}
    assert pgbouncer.timeouts(config | others) == {  # type: ignore[arg-type]
        "query_timeout": 0.0,
        "query_wait_timeout": 120.0,
        "tcp_user_timeout": 1.5,
    }
    assert pgbouncer.timeouts({"transaction_timeout": "0.5"}) == {"transaction_timeout": 0.5}


def test_a_column_that_must_be_there() -> None:
    """What a poll cannot do without is told by its name."""
    lacking = {key: value for key, value in STATS.items() if key != "total_wait_time"}
    with pytest.raises(QueryError, match="SHOW THIS of this PgBouncer has no column total_wait"):
        list(pgbouncer.totals_rows(table(lacking)))
