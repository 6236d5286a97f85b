"""I2 with PgBouncer in between: the same loop takes a pool, and the server's slots stay free."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from exporter.demo.ports import IPV4
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.serving import gunicorn, nightly
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.staging import MONITOR

POOL: Final = 10
# Each client of a session's pool has a connection to PostgreSQL until it leaves; who gets none is
# sent away after two minutes, thirty times as fast.
POOLING: Final = {
    "pool_mode": "session",
    "default_pool_size": str(POOL),
    "query_wait_timeout": "4",
    "max_client_conn": "400",
}
WORKERS, EVERY = 4, 0.29  # of the job, and the seconds from item to item
# The job takes the pool in some 3 s; `for` 1m is 2 s; then two evaluations and group_wait (1 s).
# The rest is for a machine that is busy.
PAGED_WITHIN: Final = 25

CLIENTS: Final[Sequence[Mapping[str, object]]] = [
    {"name": "api", "match": {"application_name": "gunicorn*"}, "pool_size": 4},
    {"name": "nightly", "match": {"application_name": "nightly*"}, "pool_size": POOL},
]
PAGE: Final = "PgBouncerPoolSaturated"
# From docs/runbooks/PgBouncerPoolSaturated.md: what is idle outside of a transaction, as what the
# job leaks, then takes no connection to PostgreSQL.
CURE: LiteralString = "SET pool_mode = 'transaction'"
HELD = 'sum by (state) (pgconn_connections{client="nightly"})'


async def test_pool_saturation(new_cluster: NewCluster, tmp_path: Path) -> None:
    """The pool's page names the server behind it, where direct users notice nothing."""
    server = new_cluster(max_connections="85")
    async with pgbouncer(server, **POOLING) as bouncer, shopping(server, tmp_path) as buying:
        targets: list[Mapping[str, object]] = [
            {"name": "orders", "dsn": server.dsn(user=MONITOR)},
            bouncer.target(name="orders-pool", server="orders"),
        ]
        async with monitored(tmp_path, targets, CLIENTS) as watch:
            async with job(bouncer, tmp_path):
                await buying.served(50)
                await watch.quiet(WORTH_OF_FORS)
            async with job(bouncer, tmp_path, "--leak"):
                await the_pool_is_paged(watch, time.time())
                await the_pool_is_seen(watch)
                await the_server_is_free(watch, server, buying)
                await watch.shows("pool-saturation")
                watch.draws("pool-saturation", Dashboard.INCIDENT, Dashboard.PGBOUNCER)
            bouncer.command(CURE)
            async with job(bouncer, tmp_path, "--leak"):
                # Tickets, too: a pool that was full for long has one as soon as the page is over.
                await watch.all_resolved()
                await watch.quiet(3)
    assert len(watch.pager.firing) == 1, await watch.report()


@asynccontextmanager
async def shopping(server: Cluster, folder: Path) -> AsyncIterator[Customers]:
    """Run the shop, which connects directly, with customers in it."""
    dsn = server.dsn(user="app", dbname="shop")
    async with (
        gunicorn(folder, dsn, "--workers", "2", "--threads", "2") as shop,
        customers(3, lambda: f"{shop.url}/item") as buying,
    ):
        yield buying


def job(bouncer: PgBouncer, folder: Path, *flags: str) -> AbstractAsyncContextManager[None]:
    """Run the nightly job, which connects to the pool."""
    dsn = f"postgresql://celery@{IPV4}:{bouncer.port}/shop"
    return nightly(folder, dsn, "--threads", str(WORKERS), "--every", str(EVERY), *flags)


async def the_pool_is_paged(watch: Monitoring, fault: float) -> None:
    """See that the first page names the pool and the server behind it, and no other client."""
    page = await watch.paged(PAGED_WITHIN + 10)
    assert page.names == {PAGE}, await watch.report()
    assert page.at - fault < PAGED_WITHIN
    assert page.values("server") == {"orders"}
    assert page.values("target") == {"orders-pool"}
    assert page.values("user") == {"celery"}
    assert page.values("client") <= {"nightly"}
    assert "shop/celery" in page.annotation(PAGE, "summary")
    assert "nightly: prices" in page.annotation(PAGE, "description")


async def the_pool_is_seen(watch: Monitoring) -> None:
    """See who waits and for how long, and what the connections of the pool are at."""
    waiting = 'pgconn_pgbouncer_pool_clients{user="celery", state="waiting"}'
    await watch.until(f"{waiting} >= {WORKERS - 1}", len)
    await watch.until('pgconn_pgbouncer_pool_max_wait_seconds{user="celery"} > 1', len)
    [used] = await watch.query('pgconn_pgbouncer_pool_servers{user="celery", state="active"}')
    [held] = await watch.query('sum(pgconn_connections{client="nightly", state="idle"})')
    assert used.value == held.value == POOL


async def the_server_is_free(watch: Monitoring, server: Cluster, buying: Customers) -> None:
    """See that who connects directly notices nothing."""
    filled = "pgconn_slots_used_peak / on (job, instance, target) pgconn_slots_usable"
    [highest] = await watch.query(filled)
    assert highest.value < 0.5
    psycopg.connect(server.dsn(user="reports", dbname="shop")).close()
    await buying.served(50)
    assert set(buying.answers) == {200}
