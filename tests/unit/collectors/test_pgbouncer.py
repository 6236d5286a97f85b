"""What is told of a PgBouncer: pools, sizes, databases, clients, totals, settings."""

import pytest

from exporter.collectors import Options
from exporter.collectors.pgbouncer import PgBouncerPools, PgBouncerSettings, PgBouncerTraffic
from exporter.diagnosis.poolers import Pooler
from exporter.reads import ACTIVITY_READ, pgbouncer_reads
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
from tests.unit.rows import active, told

P = "pgconn_pgbouncer_"
POOL = PoolRow("shop", "app", {"active": 5, "waiting": 3}, {"active": 2, "idle": 0}, 1.5)
SHOP = DatabaseRow("shop", 2, 1, 0, 2, paused=False, disabled=False)
SERVER = ServerRow(4711, 51000, local=False)


def pools(**changes: object) -> Pools:
    """Make a snapshot of one pool that differs in something."""
    given = {"pools": (POOL,), "databases": (SHOP,), "servers": (SERVER,), "clients_used": 9}
    return Pools(**(given | changes))  # type: ignore[arg-type]


def value(snapshot: Pools, name: str, *labels: str) -> object:
    """Give one value of the pools; None where there is no such series."""
    return told(PgBouncerPools(Options()).collect(snapshot)).get((P + name, *labels))


def test_pools() -> None:
    """States, queue, sizes and the database, each by its own labels."""
    assert told(PgBouncerPools(Options()).collect(pools())) == {
        (P + "pool_clients", "shop", "app", "active"): 5,
        (P + "pool_clients", "shop", "app", "waiting"): 3,
        (P + "pool_servers", "shop", "app", "active"): 2,
        (P + "pool_servers", "shop", "app", "idle"): 0,
        (P + "pool_max_wait_seconds", "shop", "app"): 1.5,
        (P + "pool_size", "shop", "app"): 2,
        (P + "pool_reserve_size", "shop", "app"): 1,
        (P + "database_connections", "shop"): 2,
        (P + "database_paused", "shop"): 0,
        (P + "clients_used",): 9,
    }


def test_a_pool_that_is_listed_twice() -> None:
    """Users of one name and database are one pool to us: no series stands twice."""
    both = pools(pools=(POOL, POOL._replace(max_wait=0.5)))
    assert value(both, "pool_clients", "shop", "app", "active") == 10
    assert value(both, "pool_max_wait_seconds", "shop", "app") == 1.5
    assert value(both, "pool_size", "shop", "app") == 2


@pytest.mark.parametrize(
    ("user", "size", "reserve"),
    [
        (UserRow("app", 7, None), 7, 1),
        (UserRow("app", None, 0), 2, 0),
        (UserRow("app", 0, None), None, 1),
        (UserRow("other", 7, 7), 2, 1),
    ],
)
def test_the_size_of_a_user(user: UserRow, size: int | None, reserve: int) -> None:
    """What a user has of its own stands above its database's; 0 is no limit."""
    snapshot = pools(users=(user,))
    assert value(snapshot, "pool_size", "shop", "app") == size
    assert value(snapshot, "pool_reserve_size", "shop", "app") == reserve


def test_a_size_that_is_not_known_or_not_limited() -> None:
    """Absent is absent: neither 0 nor another database's."""
    assert value(pools(databases=()), "pool_size", "shop", "app") is None
    assert value(pools(databases=()), "pool_reserve_size", "shop", "app") is None
    unlimited = pools(databases=(SHOP._replace(pool_size=0),))
    assert value(unlimited, "pool_size", "shop", "app") is None


def test_a_limit_of_a_database() -> None:
    """It is told where it is set."""
    limited = pools(databases=(SHOP._replace(max_connections=50),))
    assert value(limited, "database_connection_limit", "shop") == 50


@pytest.mark.parametrize(
    "snapshot",
    [
        pools(databases=(SHOP._replace(paused=True),)),
        pools(databases=(SHOP._replace(disabled=True),)),
        pools(paused=True),
    ],
    ids=["paused", "disabled", "all paused"],
)
def test_a_database_that_rests(snapshot: Pools) -> None:
    """Whatever it rests for, its clients get nothing."""
    assert value(snapshot, "database_paused", "shop") == 1


CLIENT = ClientRow("shop", "app", "10.0.1.5", "gunicorn", "active")
TOTALS = TotalsRow("shop", 90, 70, 40.0, 50.0, 10.0, 1000, 2000)


def test_clients() -> None:
    """They are counted by who they are."""
    clients = (CLIENT, CLIENT, CLIENT._replace(state="waiting"))
    assert told(PgBouncerTraffic(Options()).collect(Traffic(clients, ()))) == {
        (P + "client_connections", *CLIENT): 2,
        (P + "client_connections", *CLIENT._replace(state="waiting")): 1,
    }


def test_totals() -> None:
    """PgBouncer's own totals are told as they are, times without the wait as they grow."""
    collector = PgBouncerTraffic(Options())
    list(collector.collect(Traffic((), (TOTALS,))))
    grown = TOTALS._replace(query_seconds=44.0, transaction_seconds=56.0, wait_seconds=11.0)
    collector.interrupt()
    assert told(collector.collect(Traffic((), (grown,)))) == {
        (P + "queries_total", "shop"): 90,
        (P + "transactions_total", "shop"): 70,
        (P + "query_seconds_total", "shop"): 3.0,
        (P + "transaction_seconds_total", "shop"): 5.0,
        (P + "wait_seconds_total", "shop"): 11.0,
        (P + "received_bytes_total", "shop"): 1000,
        (P + "sent_bytes_total", "shop"): 2000,
    }


def test_settings() -> None:
    """The target behind it is a label, empty where none is named."""
    found = PgBouncerConfiguration("1.18.0", 100, {"query_timeout": 0.0})
    expected = {(P + "clients_max",): 100, (P + "timeout_seconds", "query_timeout"): 0.0}
    for options in (Options(server="orders"), Options()):
        assert told(PgBouncerSettings(options).collect(found)) == expected | {
            (P + "info", "1.18.0", options.server): 1
        }


def test_reads() -> None:
    """The pools come first, by which it is up; who is behind learns what it holds."""
    pooler = Pooler()
    reads = pgbouncer_reads(Options(), pooler)
    assert [read.name for read in reads] == [ACTIVITY_READ, "databases", "settings"]
    behind = [active(4711, client_port=51000)]
    list(reads[0].collect(pools()))
    assert pooler.judge(behind).held == {4711}
    list(reads[0].collect(pools(servers=())))
    assert pooler.judge(behind).left == {4711}
    reads[0].interrupt()
    assert pooler.judge(behind) == (frozenset(), frozenset())
