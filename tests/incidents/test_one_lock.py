"""I5: one session holds a lock, idle in transaction, and everything queues behind it."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.programs import program
from tests.incidents.runbooks import statement
from tests.incidents.serving import APPLICATIONS, gunicorn
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR

POOL: Final = 8
# `for` 1m is 2 s; a victim counts after one poll, Prometheus sees it and evaluates within another
# second, and the group waits for one more. The rest is for a machine that is busy.
PAGED_WITHIN: Final = 15

CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn: shop"}, "pool_size": POOL},
    {"name": "back-office", "match": {"application_name": "gunicorn: office"}, "pool_size": 2},
    {"name": "deploy", "match": {"usename": "deploy"}, "pool_size": 1},
]
CURE: Final = statement("PostgresRootBlockerIdle", "pg_terminate_backend")


async def test_one_lock(new_cluster: NewCluster, tmp_path: Path) -> None:
    """The page names who holds the lock, not the hundred who wait; ending the one heals all."""
    server = new_cluster()
    target = {"name": "orders", "dsn": server.dsn(user=MONITOR)}
    async with shops(server, tmp_path) as buying, monitored(tmp_path, [target], CLIENTS) as watch:
        async with migrating(server, tmp_path, "--quick"):
            await healthy(watch, buying)
        async with migrating(server, tmp_path):
            fault = time.time()
            await the_holder_is_paged(watch, fault)
            await victims_are_kept_apart(watch)
            await watch.shows("one-lock")
            watch.draws("one-lock", Dashboard.INCIDENT, Dashboard.BLOCKING)
            await cured(watch, server, buying)
    assert len(watch.pager.firing) == 1, await watch.report()


@asynccontextmanager
async def shops(server: Cluster, folder: Path) -> AsyncIterator[Customers]:
    """Run a shop, whose customers all want the same thing, and a back office that looks on."""
    dsn = server.dsn(user="app", dbname="shop")
    async with (
        # One worker: of two, one may get most of the customers, and the other has threads to spare.
        gunicorn(folder, dsn, "--threads", str(POOL)) as shop,
        gunicorn(folder, dsn, "--threads", "2", name="gunicorn: office") as office,
        customers(POOL + 2, lambda: f"{shop.url}/order") as buying,
        customers(1, lambda: f"{office.url}/item?id=50"),
    ):
        yield buying


@asynccontextmanager
async def migrating(server: Cluster, folder: Path, *flags: str) -> AsyncIterator[None]:
    """Run the migration, as a process that nobody asks for anything."""
    dsn = server.dsn(user="deploy", dbname="shop")
    script = APPLICATIONS / "migration.py"
    async with program(folder / "migration.log", sys.executable, script, dsn, *flags):
        yield


async def healthy(watch: Monitoring, buying: Customers) -> None:
    """See that a migration that commits at once is nobody's trouble."""
    await watch.quiet(WORTH_OF_FORS)
    await buying.served(10)
    assert not watch.tickets.notifications


async def the_holder_is_paged(watch: Monitoring, fault: float) -> None:
    """See that the first page names the holder of the lock, and no other client."""
    page = await watch.paged()
    assert page.at - fault < PAGED_WITHIN
    assert page.names == {"PostgresRootBlockerIdle"}, await watch.report()
    assert page.values("client") == {"deploy"}
    assert page.values("target") == {"orders"}
    assert "deploy" in page.annotation("PostgresRootBlockerIdle", "summary")


async def victims_are_kept_apart(watch: Monitoring) -> None:
    """See that the metrics tell culprit from victims, and that only the culprit's alert is sent."""
    await watch.until(
        f'pgconn_root_blocker_victims{{client="deploy"}} == {POOL}', lambda found: len(found) == 1
    )
    await watch.until(f'pgconn_blocked_connections{{client="api"}} == {POOL}', len)
    assert not await watch.query('pgconn_slow_queries{blocked="false"}')
    await watch.until(
        'ALERTS{alertstate="firing", alertname="PostgresClientPoolSaturated", client="api"}', len
    )
    await watch.quiet(3)  # longer than a group waits


async def cured(watch: Monitoring, server: Cluster, buying: Customers) -> None:
    """End the one session, as the runbook says, and see that everything goes on."""
    with psycopg.connect(server.socket_dsn(), autocommit=True) as admin:
        assert [ended for _, ended in admin.execute(CURE).fetchall()] == [True]
    await buying.served(50)
    await watch.all_resolved()
