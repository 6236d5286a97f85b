"""I1: the server goes on with queries after their client was killed, and nobody looks at slots.

A minute takes two seconds here. Timeouts are less short, lest a busy machine breaks them: requests
may take 2 s (for 30 s), the server's statement_timeout is 10 s (for 5 min), the cure is 1 s (for
25 s): a worker that needs the second in between for anything else is killed.
"""

import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.runbooks import statement
from tests.incidents.serving import APPLICATIONS, Shop, celery, gunicorn
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, eventually

WORKERS, THREADS, AT_ONCE = 4, 2, 4
POOL: Final = WORKERS * THREADS
# A query outlives its client after 2 s; two polls, a scrape and an evaluation see it within another
# 1.2 s; `for` 2m is 4 s; an evaluation and the wait of the group are 1.5 s. The rest is for a
# machine that is busy.
PAGED_WITHIN: Final = 18

CLIENTS: Final = [
    {
        "name": "api",
        "match": {"application_name": "gunicorn: shop"},
        "request_timeout": "2s",
        "pool_size": POOL,
    },
    {
        "name": "celery",
        "match": {"application_name": "celery*"},
        "request_timeout": "10s",
        "pool_size": 2,
    },
]
ALERT: Final = "PostgresQueriesOutliveClient"
CURE: Final = statement(ALERT, "ALTER ROLE app").replace(b"'25s'", b"'1s'")
FAULT: LiteralString = "ALTER ROLE app RESET statement_timeout"
OLDER: LiteralString = """
SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND backend_start < %s
"""
MISMATCH: Final = 'pgconn_timeout_mismatch{rule="statement_timeout_above_request_timeout"}'

SEEN_ON: Final = (Dashboard.INCIDENT, Dashboard.CONNECTIONS, Dashboard.LOAD, Dashboard.EXPORTER)


async def test_timeout_mismatch(new_cluster: NewCluster, tmp_path: Path) -> None:
    """The page names the client whose queries nobody awaits, and the mismatch stood there before.

    It is over when the role has a statement_timeout below that of the requests.
    """
    server = new_cluster(max_connections="500", statement_timeout="10s")
    async with shop(server, tmp_path) as api, watching(server, tmp_path) as watch:
        await the_mismatch_shows(watch)
        await deploy(server, api, CURE)
        async with reporting(api) as reports:
            await healthy(watch, reports)
        await deploy(server, api, FAULT)
        await the_mismatch_shows(watch)
        async with reporting(api):
            await the_client_is_paged(watch, time.time())
            await only_the_pool_is_full(watch)
            await watch.shows("timeout-mismatch")
            watch.draws("timeout-mismatch", *SEEN_ON)
            await deploy(server, api, CURE)
            await watch.all_resolved()
            await nothing_is_left(watch)


def watching(server: Cluster, folder: Path) -> AbstractAsyncContextManager[Monitoring]:
    """Watch as whoever lets requests take 2 s."""
    target = {"name": "orders", "dsn": server.dsn(user=MONITOR)}
    return monitored(folder, [target], CLIENTS, {"slow_query": 2})


@asynccontextmanager
async def shop(server: Cluster, folder: Path) -> AsyncIterator[Shop]:
    """Run a shop with customers, and beside it a worker of Celery."""
    async with (
        gunicorn(
            folder,
            server.dsn(user="app", dbname="shop"),
            *("--workers", str(WORKERS), "--threads", str(THREADS), "--preload"),
            *("--config", str(APPLICATIONS / "harakiri.py")),
            conn_max_age=2,
            REQUEST_TIMEOUT="2",
        ) as api,
        celery(folder, server.dsn(user="celery", dbname="shop")),
        customers(4, lambda: f"{api.url}/item"),
    ):
        yield api


def reporting(api: Shop) -> AbstractAsyncContextManager[Customers]:
    """Let customers ask for what takes longer than anybody waits."""
    return customers(AT_ONCE, lambda: f"{api.url}/report?seconds=60")


async def deploy(server: Cluster, api: Shop, alter: LiteralString | bytes) -> None:
    """Change what new sessions of the role get, and have the shop open all of its own anew."""
    with psycopg.connect(server.socket_dsn(), autocommit=True) as admin:
        admin.execute(alter)
        [before] = admin.execute("SELECT clock_timestamp()").fetchall()
        os.kill(api.pid, signal.SIGHUP)  # new workers; the old ones finish what they do

        async def look() -> bool:
            return not admin.execute(OLDER, before).fetchall()

        await eventually(look, 30)  # a query may run for 10 s after its worker was killed


async def the_mismatch_shows(watch: Monitoring) -> None:
    """See that the metrics tell what will happen while all is well, and of whom."""
    [found] = await watch.until(f"{MISMATCH} == 1", len)
    assert found.labels["client"] == "api"
    assert not watch.pager.notifications, await watch.report()


async def healthy(watch: Monitoring, reports: Customers) -> None:
    """See that the same load is nobody's trouble where the server gives up first."""
    await watch.until(f'{MISMATCH[:-1]}, client="api"}} == 0', len)
    before = reports.answers[500]
    await watch.quiet(WORTH_OF_FORS)
    assert reports.answers[500] > before + AT_ONCE
    assert not watch.pager.notifications + watch.tickets.notifications, await watch.report()


async def the_client_is_paged(watch: Monitoring, fault: float) -> None:
    """See that the first page names the client, and no other."""
    page = await watch.paged()
    assert page.at - fault < PAGED_WITHIN
    assert page.names == {ALERT}, await watch.report()
    assert page.values("client") == {"api"}
    assert page.values("target") == {"orders"}
    assert "api" in page.annotation(ALERT, "summary")


async def only_the_pool_is_full(watch: Monitoring) -> None:
    """See that the metrics tell whose queries they are, though the slots never look bad."""
    orphans = await watch.until(
        'sum by (client) (pgconn_orphaned_connections{reason="query_outlived_client"})', len
    )
    assert [each.labels["client"] for each in orphans] == ["api"]
    await watch.until('pgconn_client_connections{client="celery"} == 2', len)
    await watch.until(
        'pgconn_client_busy_connections{client="api"} >= on (client) pgconn_client_pool_size', len
    )
    await watch.until(
        'ALERTS{alertstate="firing", alertname="PostgresClientPoolSaturated", client="api"}', len
    )
    assert not await watch.query(
        "max_over_time(pgconn_slots_used[5m]) > on () 0.2 * max(pgconn_slots_usable)"
    )


async def nothing_is_left(watch: Monitoring) -> None:
    """See that it is over and stays so, and that there was one page."""
    assert not await watch.query("pgconn_orphaned_connections")
    assert not await watch.query(f"{MISMATCH} == 1")
    await watch.quiet(2)
    assert not watch.pager.open
    assert len(watch.pager.firing) == 1, await watch.report()
