"""A PgBouncer as it is: its pools, queues, clients and limits, and what goes wrong with it."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from exporter.server.access import Access
from exporter.server.console import Console
from exporter.server.pgbouncer import read_pools
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.staging import MONITOR, Client, Session, Stage, eventually
from tests.integration.watching import Scrape, Target, watching

# PgBouncer's console is what is read, whatever version of PostgreSQL is behind it.
pytestmark = pytest.mark.slow

GUNICORN = Client("app", "gunicorn", "127.0.0.21")
PREFIX = "pgconn_pgbouncer_"
ERRORS = "pgconn_poll_errors_total"
FAST = {"activity": "200ms", "databases": "200ms", "settings": "1s", "probe": "300ms"}


@pytest.fixture
async def bouncer(cluster: Cluster) -> AsyncIterator[PgBouncer]:
    """Run a PgBouncer in front of the common server."""
    async with pgbouncer(cluster) as running:
        yield running


@contextmanager
def no_traceback() -> Iterator[list[Any]]:
    """Give the log, and require that nothing in it is an error that nobody foresaw."""
    with capture_logs() as logs:
        yield logs
    assert [line for line in logs if line["log_level"] not in {"info", "warning"}] == []


def up(scrape: Scrape, target: str = "pool") -> bool:
    """Tell whether a target is shown as up."""
    return scrape.value("pgconn_up", target=target) == 1


def told(scrape: Scrape) -> set[str]:
    """Give the names of what PgBouncer told."""
    return {name for name in scrape.names if name.startswith(PREFIX)}


def pool(bouncer: PgBouncer, database: str = "shop", user: str = "app") -> dict[str, Any]:
    """Give the row of one pool, as the console shows it."""
    [found] = [p for p in bouncer.show("POOLS") if (p["database"], p["user"]) == (database, user)]
    return found


def max_wait(row: dict[str, Any]) -> float:
    """Give the longest wait of a pool, in seconds."""
    return float(row["maxwait"]) + float(row["maxwait_us"]) / 1e6


async def queue(bouncer: PgBouncer, statement: LiteralString, count: int = 5) -> list[Session]:
    """Begin a statement on each of some clients; those who get no connection wait."""
    sessions = [await bouncer.connect(GUNICORN) for _ in range(count)]
    for session in sessions:
        await session.run("SELECT 1")  # the pool's connections are there
    for session in sessions:
        session.begin(statement)
    return sessions


async def test_five_statements_through_a_pool_of_two(bouncer: PgBouncer, stage: Stage) -> None:
    """Three wait, the first of them as long as the console says, until the last one is done."""
    gate = await stage.connect(Client("postgres"))
    await gate.run("SELECT pg_advisory_lock(4713)")  # for as long as we look
    async with watching({"pool": bouncer.target()}, intervals=FAST) as watch:
        await watch.until(up)
        sessions = await queue(bouncer, "SELECT pg_advisory_xact_lock_shared(4713)")
        await eventually(lambda: waiting(bouncer, 3))
        before = max_wait(pool(bouncer))
        scrape = await watch.after_poll("pool")
        after = max_wait(pool(bouncer))
        assert scrape.table(PREFIX + "pool_clients", "state", database="shop", user="app") == {
            ("active",): 2,
            ("waiting",): 3,
            ("active_cancel_req",): 0,
            ("waiting_cancel_req",): 0,
        }
        shown = scrape.value(PREFIX + "pool_max_wait_seconds", database="shop") or 0
        assert before - 0.05 <= shown <= after + 0.05
        assert shown > 0
        servers = scrape.table(PREFIX + "pool_servers", "state", database="shop")
        assert (servers["active",], servers["idle",]) == (2, 0)
        assert scrape.value(PREFIX + "pool_size", database="shop") == 2
        await gate.run("SELECT pg_advisory_unlock(4713)")
        for session in sessions:
            await session.finish()
        await watch.until(lambda s: s.value(PREFIX + "pool_max_wait_seconds") == 0)


async def waiting(bouncer: PgBouncer, count: int) -> bool:
    """Tell whether so many clients wait."""
    return bool(pool(bouncer)["cl_waiting"] == count)


SECONDS = tuple(PREFIX + name for name in ("query_seconds_total", "transaction_seconds_total"))


@pytest.mark.slow
async def test_time_in_the_queue_is_no_time_of_queries(bouncer: PgBouncer, stage: Stage) -> None:
    """Each counter tells its own part, and none goes down when a wait is over before its query."""
    gate = await stage.connect(Client("postgres"))
    await gate.run("SELECT pg_advisory_lock(4713)")
    holders = await queue(bouncer, "BEGIN", 2)  # they have both connections, and no query
    for session in holders:
        await session.finish()
    async with watching({"pool": bouncer.target()}, intervals=FAST) as watch:
        scrapes, raw = [await watch.after_poll("pool", "databases")], [difference(bouncer)]
        sessions = [await bouncer.connect(GUNICORN) for _ in range(3)]
        for session in sessions:
            session.begin("SELECT pg_advisory_xact_lock_shared(4713)")
        await eventually(lambda: waiting(bouncer, 3))
        await asyncio.sleep(0.5)
        for session in holders:
            await session.run("COMMIT")
        await eventually(lambda: waiting(bouncer, 1))
        began = time.monotonic()
        scrapes.append(await watch.after_poll("pool", "databases"))
        raw.append(difference(bouncer))
        had = 2 * (time.monotonic() - began)
        await gate.run("SELECT pg_advisory_unlock(4713)")
        for session in sessions:
            await session.finish()
        scrapes.append(await watch.after_poll("pool", "databases"))
        raw.append(difference(bouncer))
    assert raw[1] < raw[0] - 0.1, "the trap that this is about was not there"
    for name in SECONDS:
        values = [scrape.value(name, database="shop") or 0 for scrape in scrapes]
        assert values == sorted(values)
    told = [scrape.value(SECONDS[0], database="shop") or 0 for scrape in scrapes]
    assert told[-1] - told[0] == pytest.approx(raw[-1] - raw[0], abs=1e-3)
    assert told[-1] - told[0] >= had
    end = scrapes[-1]
    [stats] = [row for row in bouncer.show("STATS") if row["database"] == "shop"]
    waited = [s.value(PREFIX + "wait_seconds_total", database="shop") or 0 for s in scrapes]
    assert waited[-1] - waited[0] >= 3 * 0.5
    assert waited[-1] == pytest.approx(float(stats["total_wait_time"]) / 1e6)
    for name, column in {
        "queries": "total_query_count",
        "transactions": "total_xact_count",
        "received_bytes": "total_received",
        "sent_bytes": "total_sent",
    }.items():
        assert end.value(f"{PREFIX}{name}_total", database="shop") == float(stats[column])


def difference(bouncer: PgBouncer) -> float:
    """Give what a subtraction of PgBouncer's own totals comes to."""
    [stats] = [row for row in bouncer.show("STATS") if row["database"] == "shop"]
    return float(stats["total_query_time"] - stats["total_wait_time"]) / 1e6


@pytest.mark.slow
async def test_pools_databases_and_clients_as_the_console_shows_them(bouncer: PgBouncer) -> None:
    """Every row is there, by its names, but the console's own."""
    [busy, *_] = [await bouncer.connect(GUNICORN) for _ in range(3)]
    await busy.run("BEGIN")
    await bouncer.connect(Client("reports", "über ✓", "local", "orders"))
    for name in ("", 'a "b" \\ c'):
        await bouncer.connect(Client("celery", name, dbname="orders"))
    async with watching({"pool": bouncer.target()}) as watch:
        await watch.after_poll("pool", "databases")
        scrape = await watch.after_poll("pool")
    settled(scrape, bouncer)
    clients = [row for row in bouncer.show("CLIENTS") if row["database"] != "pgbouncer"]
    assert len(clients) == 6
    shown = scrape.table(PREFIX + "client_connections", *CLIENT_LABELS)
    assert shown == Counter(
        (
            row["database"],
            row["user"],
            "local" if row["addr"] == "unix" else row["addr"],
            row["application_name"],
            row["state"],
        )
        for row in clients
    )
    assert shown["shop", "app", "127.0.0.21", "gunicorn", "active"] == 3
    assert shown["orders", "reports", "local", "über ✓", "active"] == 1


CLIENT_LABELS = ("database", "user", "client_addr", "application_name", "state")


@pytest.mark.slow
async def test_a_client_whose_name_is_no_text(bouncer: PgBouncer) -> None:
    """PgBouncer hands an application_name on as it came; what is no UTF-8 in it costs no poll."""
    with latin_client(bouncer), no_traceback():
        async with watching({"pool": bouncer.target()}) as watch:
            scrape = await watch.after_poll("pool", "databases")
    [found] = scrape.table(PREFIX + "client_connections", *CLIENT_LABELS)
    assert found == ("orders", "celery", "127.0.0.1", "caf\\xe9", "active")
    assert scrape.table(ERRORS, "reason") == {}


def settled(scrape: Scrape, bouncer: PgBouncer) -> None:
    """Compare pools and databases with the console: nothing moves meanwhile."""
    pools = [row for row in bouncer.show("POOLS") if row["database"] != "pgbouncer"]
    for side, metric in {"cl": "pool_clients", "sv": "pool_servers"}.items():
        assert scrape.table(PREFIX + metric, "database", "user", "state") == {
            (row["database"], row["user"], column[3:]): count
            for row in pools
            for column, count in row.items()
            if column.startswith(f"{side}_")
        }
    databases = {row["name"]: row for row in bouncer.show("DATABASES")}
    sizes = {"pool_size": "pool_size", "pool_reserve_size": "reserve_pool"}
    for metric, column in sizes.items():
        assert scrape.table(PREFIX + metric, "database", "user") == {
            (row["database"], row["user"]): databases[row["database"]][column] for row in pools
        }
    assert scrape.table(PREFIX + "pool_size", "database", "user")["orders", "celery"] == 3
    assert scrape.table(PREFIX + "database_connections", "database") == {
        (name,): databases[name]["current_connections"] for name in ("shop", "orders")
    }
    assert scrape.table(PREFIX + "database_connection_limit", "database") == {("orders",): 7}
    assert set(scrape.table(PREFIX + "database_paused", "database").values()) == {0}


@contextmanager
def latin_client(bouncer: PgBouncer) -> Iterator[None]:
    """Open a connection whose application_name is no UTF-8, which libpq would not send."""
    parameters = b"user\0celery\0database\0orders\0application_name\0caf\xe9\0\0"
    startup = (196608).to_bytes(4, "big") + parameters
    with socket.create_connection(("127.0.0.1", bouncer.port)) as link:
        link.sendall((len(startup) + 4).to_bytes(4, "big") + startup)
        answer = b""
        while not answer.endswith(b"Z\0\0\0\x05I"):
            answer += link.recv(4096)
        yield


@pytest.mark.slow
async def test_configuration(cluster: Cluster) -> None:
    """Timeouts are those of SHOW CONFIG, in seconds; the target behind is named."""
    settings = {"tcp_user_timeout": "1500", "query_wait_timeout": "17", "client_idle_timeout": "0"}
    async with pgbouncer(cluster, max_client_conn="77", **settings) as bouncer:
        targets: dict[str, Target] = {
            "db": cluster.dsn(user=MONITOR),
            "pool": bouncer.target(server="db"),
            "lonely": bouncer.target(),
        }
        with no_traceback() as logs:
            async with watching(targets) as watch:
                await watch.after_poll("lonely", "settings")
                scrape = await watch.after_poll("pool", "settings")
        config = {row["key"]: row["value"] for row in bouncer.show("CONFIG")}
    shown = scrape.table(PREFIX + "timeout_seconds", "setting", target="pool")
    assert shown.pop(("tcp_user_timeout",)) == 1.5
    assert shown == {(name,): float(config[name]) for (name,) in shown}
    assert {name for name, value in config.items() if name.endswith("_timeout")} == {
        "tcp_user_timeout",
        *(name for (name,) in shown),
    }
    assert scrape.value(PREFIX + "clients_max", target="pool") == 77
    info = scrape.table(PREFIX + "info", "target", "server")
    assert info == {("pool", "db"): 1, ("lonely", ""): 1}
    connected = [line for line in logs if line.get("target") == "pool"]
    [[number]] = scrape.table(PREFIX + "info", "version", target="pool")
    versions = {line["server_version"] for line in connected if "server_version" in line}
    assert versions == {version_number(number)}


def version_number(version: str) -> int:
    """Give a version as libpq numbers it."""
    major, minor, patch = map(int, version.split("."))
    return major * 10000 + minor * 100 + patch


@pytest.mark.slow
async def test_who_may_look(bouncer: PgBouncer, cluster: Cluster) -> None:
    """Any other user, and any other way in, is told what is wrong with it."""
    targets = {
        "stranger": bouncer.target(dsn=bouncer.dsn("stranger")),
        "pooled": bouncer.target(dsn=bouncer.dsn("app", "shop")),
        "postgres": bouncer.target(dsn=cluster.dsn(user=MONITOR)),
        "good": bouncer.target(),
    }
    with no_traceback() as logs:
        async with watching(targets) as watch:
            await watch.until(lambda s: up(s, "good"))
            await watch.until(lambda s: len(s.table(ERRORS, "target")) == 3)
            scrape = await watch.after_poll("good")
    assert scrape.table(ERRORS, "target", "reason").keys() == {
        ("stranger", "authentication"),
        ("pooled", "query"),
        ("postgres", "query"),
    }
    failed = {line["target"]: line for line in logs if line["event"] == "poll failed"}
    assert "neither stats_users nor admin_users" in failed["stranger"]["error"]
    assert "stats_users" in failed["stranger"]["cure"]
    assert "dbname must be pgbouncer" in failed["pooled"]["error"]
    assert "dbname must be pgbouncer" in failed["postgres"]["error"]
    assert not any(up(scrape, target) for target in failed)


@pytest.mark.slow
async def test_a_postgresql_that_has_such_a_database(
    bouncer: PgBouncer, cluster: Cluster, stage: Stage
) -> None:
    """Where the name is right and the port is not, that is what is told."""
    await stage.database("pgbouncer")
    target = bouncer.target(dsn=cluster.dsn(user=MONITOR, dbname="pgbouncer"))
    with no_traceback() as logs:
        async with watching({"pool": target}) as watch:
            await watch.until(lambda s: s.value(ERRORS, reason="query"))
    [failed] = [line for line in logs if line["event"] == "poll failed"]
    assert "host and port must be PgBouncer's" in failed["error"]


GUARDED = """
SELECT pg_backend_pid(), name, setting FROM pg_settings WHERE name IN ('statement_timeout',
    'lock_timeout', 'default_transaction_read_only', 'search_path', 'idle_session_timeout',
    'idle_in_transaction_session_timeout', 'client_connection_check_interval', 'jit') ORDER BY 2
"""


async def test_a_postgresql_target_through_a_pool_is_refused_and_leaves_no_trace(
    cluster: Cluster,
) -> None:
    """Our guards never reach a server connection that is lent to somebody else next."""
    async with pgbouncer(cluster, default_pool_size="1") as bouncer:
        client = await bouncer.connect(Client(MONITOR))
        before = await (await client.connection.execute(GUARDED)).fetchall()
        with no_traceback() as logs:
            async with watching({"demo": bouncer.dsn(MONITOR, "shop")}) as watch:
                scrape = await watch.until(lambda s: (s.value(ERRORS, reason="query") or 0) >= 2)
        after = await (await client.connection.execute(GUARDED)).fetchall()
        assert before == after  # the pid too: our refused sessions were lent the same connection
        assert len(before) >= 6
        await client.run("CREATE TEMP TABLE written (id int)")
        await client.run("DROP TABLE written")
    assert not up(scrape, "demo")
    [failed] = [line for line in logs if line["event"] == "poll failed"]
    assert "leads through a connection pooler" in failed["error"]


@pytest.mark.slow
async def test_stopped_killed_and_back(bouncer: PgBouncer, cluster: Cluster) -> None:
    """What PgBouncer told is taken back while it does not answer, and comes back by itself."""
    targets: dict[str, Target] = {"pool": bouncer.target(), "good": cluster.dsn(user=MONITOR)}
    client = await bouncer.connect(GUNICORN)
    for _ in range(5):
        await client.run("SELECT pg_sleep(0.01)")
    with no_traceback() as logs:
        async with watching(targets, intervals=FAST) as watch:
            scrape = await watch.after_poll("pool", "databases")
            assert scrape.value(PREFIX + "queries_total", database="shop") == 5
            with bouncer.stopped():
                scrape = await watch.until(lambda s: not up(s))
                assert told(scrape) == set()
                assert up(scrape, "good")
                await watch.until(lambda s: s.all(ERRORS, reason="timeout"))
            await watch.until(up)
            bouncer.kill()
            scrape = await watch.until(lambda s: not up(s))
            assert told(scrape) == set()
            await watch.until(lambda s: s.value(ERRORS, target="pool", reason="refused"))
            await asyncio.to_thread(bouncer.start)
            await watch.until(up)
            again = await bouncer.connect(GUNICORN)
            await again.run("SELECT pg_sleep(0.2)")
            scrape = await watch.after_poll("pool", "databases")
            spent = difference(bouncer)
    assert scrape.value(PREFIX + "queries_total", database="shop") == 1
    seconds = scrape.value(PREFIX + "query_seconds_total", database="shop")
    # The client's wait for its login counts against it.
    assert seconds == pytest.approx(max(0.0, spent))
    reasons = {line["reason"] for line in logs if line["event"] == "poll failed"}
    assert reasons <= {"timeout", "connection_lost", "refused"}


@pytest.mark.slow
async def test_no_more_clients(cluster: Cluster) -> None:
    """When max_client_conn is reached the console is open, and the probe is turned away."""
    async with pgbouncer(cluster, max_client_conn="4") as bouncer:
        sessions = [await bouncer.connect(GUNICORN) for _ in range(4)]
        with pytest.raises(psycopg.OperationalError, match="no more connections allowed"):
            await bouncer.connect(GUNICORN)
        target = bouncer.target(probe={"dsn": bouncer.dsn("app", "shop")})
        async with watching({"pool": target}, intervals=FAST) as watch:
            await watch.after_poll("pool", "settings")
            scrape = await watch.after_poll("pool")
            used = scrape.value(PREFIX + "clients_used") or 0
            assert used >= (scrape.value(PREFIX + "clients_max") or 0) == 4
            await watch.until(lambda s: s.value("pgconn_probe_failures_total", sqlstate="08P01"))
            for session in sessions:
                await session.close()
            await watch.until(lambda s: s.value("pgconn_probe_success") == 1)
            await watch.until(lambda s: (s.value(PREFIX + "clients_used") or used) < used)


@pytest.mark.slow
async def test_no_probe_by_itself(bouncer: PgBouncer) -> None:
    """A console that lets us in says nothing about whether clients get in."""
    async with watching({"pool": bouncer.target()}, intervals=FAST) as watch:
        await watch.after_poll("pool", "settings")
        scrape = await watch.after_poll("pool", "databases")
    assert [name for name in scrape.names if name.startswith("pgconn_probe_")] == []
    reads = scrape.table("pgconn_poll_interval_seconds", "collector")
    assert reads.keys() == {("activity",), ("databases",), ("settings",)}


@pytest.mark.slow
async def test_paused_and_disabled(bouncer: PgBouncer) -> None:
    """A database that rests shows it, until it does no more."""
    async with watching({"pool": bouncer.target()}) as watch:
        for begin, end in (("PAUSE shop", "RESUME shop"), ("DISABLE shop", "ENABLE shop")):
            bouncer.command(begin)
            scrape = await watch.until(lambda s: resting(s)["shop",] == 1)
            assert resting(scrape)["orders",] == 0
            bouncer.command(end)
            await watch.until(lambda s: resting(s)["shop",] == 0)


def resting(scrape: Scrape) -> Counter[tuple[str, ...]]:
    """Give which databases rest."""
    return Counter(scrape.table(PREFIX + "database_paused", "database"))


async def test_what_it_holds_is_known_by_both_ends(bouncer: PgBouncer, stage: Stage) -> None:
    """Its connections, over TCP and by the Unix socket, are sessions of the server."""
    await stage.until("count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'")
    for database in ("shop", "orders"):
        client = await bouncer.connect(Client("app", dbname=database))
        await client.run("SELECT 1")
    console = await Console.open(Access(bouncer.dsn()), 2.0)
    pools = await read_pools(console)
    await console.close()
    sessions = await stage.fetch(
        "SELECT pid, client_port FROM pg_stat_activity WHERE usename = 'app'"
    )
    assert {(row.remote_pid, -1 if row.local else row.local_port) for row in pools.servers} == set(
        sessions
    )
    assert sorted(row.local for row in pools.servers) == [False, True]
