"""I7: a major upgrade, 13 to 15, with a shop that waits and a consumer of logical replication."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import sql

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.serving import gunicorn
from tests.incidents.watching import monitored
from tests.integration import upgrades
from tests.integration.conftest import SETTINGS
from tests.integration.replicas import create_logical_slot, subscription
from tests.integration.staging import MONITOR, prepare

# `for` 1m is 2 s, and the group waits for another; the rest is for a machine that is busy.
PAGED_WITHIN: Final = 15
MEBIBYTE: Final = 2**20

CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn*"}, "pool_size": 4},
]


async def test_major_upgrade(tmp_path: Path) -> None:
    """One page while it is down, none after; and a ticket for the slot that nobody consumes."""
    settings = SETTINGS | {"wal_level": "logical"}
    with ExitStack() as servers:
        old = servers.enter_context(Cluster(upgrades.OLD, settings))
        prepare(old)
        new = Cluster(upgrades.NEW, settings, old.port)
        servers.callback(new.close)
        consumer = servers.enter_context(Cluster(upgrades.NEW))
        targets = [
            {"name": "orders", "dsn": old.dsn(user=MONITOR)},
            {"name": "warehouse", "dsn": consumer.dsn(user="postgres")},
        ]
        slot = servers.enter_context(subscription(old, consumer))
        async with (
            shop(old, tmp_path) as buying,
            # Whoever has so small a disk would set it so.
            monitored(tmp_path, targets, CLIENTS, {"slot_retained": MEBIBYTE}) as watch,
        ):
            await healthy(watch, buying)
            await the_upgrade_pages(watch, old, new)
            await buying.served(50)
            await the_new_version_is_shown(watch)
            await the_consumer_is_missed(watch, new, consumer, slot)
            assert len(watch.pager.firing) == 1, await watch.report()


@asynccontextmanager
async def shop(server: Cluster, folder: Path) -> AsyncIterator[Customers]:
    """Run a shop and its customers, through the upgrade."""
    dsn = server.dsn(user="app", dbname="shop")
    async with (
        gunicorn(folder, dsn, "--threads", "4") as open_shop,
        customers(2, lambda: f"{open_shop.url}/order") as buying,
    ):
        yield buying


async def healthy(watch: Monitoring, buying: Customers) -> None:
    """See that replication and load are nobody's trouble."""
    await watch.quiet(WORTH_OF_FORS)
    await buying.served(10)


async def the_upgrade_pages(watch: Monitoring, old: Cluster, new: Cluster) -> None:
    """Upgrade, and see one page for the server, none for its neighbour, and its end."""
    fault = time.time()
    await asyncio.to_thread(old.stop)
    page = await watch.paged()
    assert page.at - fault < PAGED_WITHIN
    assert page.names == {"PgconnTargetUnreachable"}, await watch.report()
    assert page.values("target") == {"orders"}
    assert [each.value for each in await watch.query('pgconn_up{target="orders"}')] == [0]
    assert [each.value for each in await watch.query('pgconn_up{target="warehouse"}')] == [1]
    await asyncio.to_thread(upgrades.upgrade, old, new)
    await asyncio.to_thread(new.start)
    await watch.until('pgconn_up{target="orders"} == 1', len)


async def the_new_version_is_shown(watch: Monitoring) -> None:
    """See the columns of the new version, by an exporter that was not restarted."""
    (info,) = await watch.until('pgconn_server_info{target="orders", version=~"15.+"}', len)
    assert info.labels["in_recovery"] == "false"
    await watch.until('pgconn_database_sessions_total{target="orders"}', len)
    restarts = await watch.query("changes(process_start_time_seconds[5m])")
    assert [each.value for each in restarts] == [0]


async def the_consumer_is_missed(
    watch: Monitoring, new: Cluster, consumer: Cluster, slot: str
) -> None:
    """Make the slot anew, which pg_upgrade left behind, and forget its consumer for a while."""
    await asyncio.to_thread(alter_subscription, consumer, slot, "DISABLE")
    await asyncio.to_thread(create_logical_slot, new, slot)
    writing = asyncio.create_task(write(new))
    try:
        ticket = await watch.ticketed("PostgresReplicationSlotInactive", 60)
    finally:
        writing.cancel()
    mine = [each for each in ticket.alerts if "slot_name" in each]
    assert {(each["target"], each["slot_name"]) for each in mine} == {("orders", slot)}
    await watch.shows("major-upgrade")
    watch.draws("major-upgrade", Dashboard.CONNECTIONS)
    await asyncio.to_thread(alter_subscription, consumer, slot, "ENABLE")
    await watch.until(f'pgconn_replication_slot_active{{slot_name="{slot}"}} == 1', len)
    await watch.all_resolved()


def alter_subscription(consumer: Cluster, name: str, how: LiteralString) -> None:
    """Have a subscription disabled, or enabled again."""
    with psycopg.connect(consumer.socket_dsn(dbname=name), autocommit=True) as admin:
        statement = sql.SQL("ALTER SUBSCRIPTION {} {}")
        admin.execute(statement.format(sql.Identifier(name), sql.SQL(how)))


async def write(server: Cluster) -> None:
    """Write WAL for ever, a mebibyte a second."""
    while True:
        await asyncio.to_thread(write_once, server)
        await asyncio.sleep(0.5)


def write_once(server: Cluster) -> None:
    """Write half a mebibyte, and not only into the server's buffers."""
    with psycopg.connect(server.socket_dsn(), autocommit=True) as admin:
        admin.execute("SET synchronous_commit = on")
        admin.execute("SELECT pg_logical_emit_message(true, 'test', %s)", ("x" * (MEBIBYTE // 2),))
