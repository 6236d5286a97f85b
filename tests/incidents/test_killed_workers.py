"""I3: the kernel kills workers, in the middle of their work, and nobody finds a traceback.

It is a ticket and no page: each request that fails is asked again, and the shop stays open.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import Monitoring
from tests.incidents.serving import Shop, celery, gunicorn
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, eventually

WORKERS, THREADS = 4, 2
POOL: Final = WORKERS * THREADS
# Seconds that a healthy run lasts before the incident; the cure is twenty more of the same.
HEALTHY: Final = 6
# Two killed workers within 10 s (the rate's 5m) are more than 0.2/s: some 3 s. `for` 10m is 20 s;
# two evaluations, two reads and the wait of the group are 3 s. The rest is for a busy machine.
TICKET_WITHIN: Final = 45
TICKET: Final = "PostgresSessionsAbandoned"
# An orphan is there from the second look at it until its query is over: Prometheus has one in one
# of six scrapes or so. Longer queries would be a second ticket; a minute is more than 100 scrapes.
SEEN_WITHIN: Final = 60

CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn: shop"}, "pool_size": POOL},
    {"name": "celery", "match": {"application_name": "celery*"}, "pool_size": 2},
]
ABANDONED: Final = 'pgconn_database_sessions_ended_total{reason="abandoned", datname="shop"}'


async def test_killed_workers(new_cluster: NewCluster, tmp_path: Path) -> None:
    """A ticket names the client and the database, and is all that arrives."""
    server = new_cluster()
    if server.version < 14:
        pytest.skip("the server does not count abandoned sessions")
    targets = [{"name": "orders", "dsn": server.dsn(user=MONITOR), "proc": True}]
    async with (
        serving(server, tmp_path) as (shop, buying),
        monitored(tmp_path, targets, CLIENTS) as watch,
    ):
        await healthy(watch, shop, buying)
        async with killing(shop):
            await the_ticket_comes_first(watch, time.time())
            await the_client_is_seen(watch)
            await watch.shows("killed-workers", patience=SEEN_WITHIN)
            watch.draws("killed-workers", Dashboard.CONNECTIONS)
        await buying.served(50)
        await watch.all_resolved()
        await nothing_is_left(watch)


@asynccontextmanager
async def serving(server: Cluster, folder: Path) -> AsyncIterator[tuple[Shop, Customers]]:
    """Run a shop whose workers are replaced after 40 requests, and a worker of Celery."""
    flags = ("--workers", str(WORKERS), "--threads", str(THREADS), "--preload")
    dsn = server.dsn(user="app", dbname="shop")
    async with (
        gunicorn(folder, dsn, *flags, "--max-requests", "40") as shop,
        celery(folder, server.dsn(user="celery", dbname="shop")),
        customers(4, lambda: f"{shop.url}/item") as buying,
        customers(2, lambda: f"{shop.url}/report?seconds=0.9"),
    ):
        yield shop, buying


@asynccontextmanager
async def killing(shop: Shop) -> AsyncIterator[None]:
    """Kill a worker each second, whatever it does, as the kernel does when memory runs out."""

    async def kill() -> None:
        while True:
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                random.choice(shop.workers()).kill()
            await asyncio.sleep(1)

    task = asyncio.create_task(kill())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def healthy(watch: Monitoring, shop: Shop, buying: Customers) -> None:
    """See that workers which are replaced, and say goodbye, are nobody's trouble."""
    before = {worker.pid for worker in shop.workers()}

    async def replaced() -> bool:
        return not before & {worker.pid for worker in shop.workers()}

    await buying.served(100)
    await watch.quiet(HEALTHY)
    await eventually(replaced, 30)  # some take fewer requests than others
    # Its `for` is longer than this run, but there was nothing to wait for.
    assert await watch.query(f"max_over_time({ABANDONED}[1m]) == 0")
    assert not await watch.query(f'count_over_time(ALERTS{{alertname="{TICKET}"}}[1m])')


async def the_ticket_comes_first(watch: Monitoring, fault: float) -> None:
    """See that the first that anybody hears is a ticket, which names client and database."""
    ticket = await watch.ticketed(TICKET, patience=TICKET_WITHIN)
    assert ticket is watch.tickets.firing[0], await watch.report()
    assert ticket.names == {TICKET}, await watch.report()
    assert ticket.at - fault < TICKET_WITHIN
    assert ticket.values("client") == {"api"}
    assert ticket.values("datname") == {"shop"}
    assert ticket.values("target") == {"orders"}
    assert "api" in ticket.annotation(TICKET, "summary")
    assert not watch.pager.notifications, await watch.report()


async def the_client_is_seen(watch: Monitoring) -> None:
    """See what the metrics told meanwhile: whose connections come and go, and run for nobody."""
    churn = await watch.query("sum by (client) (rate(pgconn_connections_closed_total[10s])) > 0")
    assert "api" in {each.labels["client"] for each in churn}
    await watch.until('pgconn_client_connections{client="celery"} == 2', len)
    gone = await watch.until(
        'count by (client) (max_over_time(pgconn_orphaned_connections{reason="client_gone"}[1m]))',
        len,
    )
    assert [each.labels["client"] for each in gone] == ["api"]


async def nothing_is_left(watch: Monitoring) -> None:
    """See that it is over and stays so, though workers are still replaced; nobody was woken."""
    await watch.quiet(2)
    assert await watch.query(f"increase({ABANDONED}[10s]) == 0")
    assert not watch.tickets.open
    assert len(watch.tickets.firing) == 1, await watch.report()
    assert not watch.pager.notifications
