"""I4: a connection for each request of an ASGI application, and bursts that nobody's average shows.

Under ASGI Django runs each request in a thread of its own, with a connection of its own: how many
there are is up to the customers.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from exporter.alerts.model import Dashboard
from exporter.demo.ports import IPV4
from tests.incidents.customers import Customers, bursts, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.serving import Shop, celery, uvicorn
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.staging import MONITOR

USABLE: Final = 97
WORKERS: Final = ("--workers", "4")
# Connections of PgBouncer's pool, and in reserve; what each of the workers might open.
POOL, RESERVE, MANY = 38, 5, 4 * 40
POOLING: Final = {
    "default_pool_size": str(POOL),
    "reserve_pool_size": str(RESERVE),
    "max_client_conn": "1000",
    "server_idle_timeout": "2",
}
STEADY: Final = 16  # customers who are always there
# With those who are always there, Celery's two and ours, 91 of 97; and more than there are.
USUAL, GROWN = 71, 105
STAY: Final = 0.5  # seconds that a request of a burst takes
PATIENCE: Final = 30  # seconds that a customer waits: all are served, however busy the machine is
# Every other second all slots are taken for half a second, in which one of two probes a second has
# to fall twice; then the next scrape, two evaluations and group_wait (1 s). The rest is for a
# machine that is busy.
PAGED_WITHIN: Final = 30

PAGE, TICKET = "PostgresConnectionsRefused", "PostgresSlotsPeak"
EXCEED: Final = 'ALERTS{alertname="PostgresPoolsExceedSlots"}'


def clients(pool_size: int) -> Sequence[Mapping[str, object]]:
    """Say who connects, and how many connections the shop is configured to have."""
    api = {"name": "api", "match": {"application_name": "uvicorn*"}, "pool_size": pool_size}
    jobs = {"name": "celery", "match": {"application_name": "celery*"}, "pool_size": 2}
    return [api, jobs]


async def test_burst_of_refusals(new_cluster: NewCluster, tmp_path: Path) -> None:
    """Peaks are seen between scrapes before anybody is refused; then the page names the client."""
    server = new_cluster(max_connections="100", superuser_reserved_connections="3")
    direct, target = server.dsn(user="app", dbname="shop"), server.dsn(user=MONITOR)
    async with (
        pgbouncer(server, **POOLING) as bouncer,
        celery(tmp_path, server.dsn(user="celery", dbname="shop")),
        monitored(tmp_path, [{"name": "orders", "dsn": target}], clients(POOL + RESERVE)) as watch,
    ):
        async with uvicorn(tmp_path, pooled(bouncer), *WORKERS) as shop:
            await healthy(watch, shop)
        watch.configure(clients(MANY))
        async with uvicorn(tmp_path, direct, *WORKERS) as shop:
            await watch.until("pgconn_slots_used < 10", len)  # PgBouncer closed what was idle
            await pools_exceed_slots(watch)
            await bursts_are_seen(watch, shop)
            await the_client_is_paged(watch, shop)
        watch.configure(clients(POOL + RESERVE))
        async with uvicorn(tmp_path, pooled(bouncer), *WORKERS) as shop:
            await cured(watch, shop)
    assert len(watch.pager.firing) == 1, await watch.report()


def pooled(bouncer: PgBouncer) -> str:
    """Return how to reach the shop's database through the pool."""
    return f"postgresql://app@{IPV4}:{bouncer.port}/shop"


@asynccontextmanager
async def shopping(shop: Shop, number: int) -> AsyncIterator[Customers]:
    """Let customers come in bursts, beside those who are always there."""
    async with (
        customers(STEADY, lambda: f"{shop.url}/report?seconds=0.8", patience=PATIENCE),
        bursts(
            number, lambda: f"{shop.url}/report?seconds={STAY}", pause=1.5, patience=PATIENCE
        ) as coming,
    ):
        yield coming


async def healthy(watch: Monitoring, shop: Shop) -> None:
    """See that bursts are nobody's trouble where they wait in a pool for their turn."""
    async with shopping(shop, GROWN) as coming:
        await coming.served(GROWN)
        await watch.quiet(WORTH_OF_FORS)
        assert set(coming.answers) == {200}
    assert not await watch.query(EXCEED)


async def pools_exceed_slots(watch: Monitoring) -> None:
    """See that what will happen is known from the sizes alone; it would be a ticket in an hour."""
    [pending] = await watch.until(EXCEED, len)
    assert pending.labels["alertstate"] == "pending"


async def bursts_are_seen(watch: Monitoring, shop: Shop) -> None:
    """See that bursts make a ticket though the average is harmless and nobody was refused."""
    async with shopping(shop, USUAL) as coming:
        ticket = await watch.ticketed(TICKET, 40)
        assert set(coming.answers) == {200}
    assert ticket.values("client") <= {"api"}, await watch.report()
    [peak] = await watch.query("max_over_time(pgconn_slots_used_peak[10s])")
    [average] = await watch.query("avg_over_time(pgconn_slots_used[10s])")
    assert average.value < 0.8 * USABLE < 0.9 * USABLE < peak.value < USABLE
    churn = "rate(pgconn_connections_opened_total[10s]) > 20"
    assert [each.labels["client"] for each in await watch.query(churn)] == ["api"]
    assert not watch.pager.notifications, await watch.report()


async def the_client_is_paged(watch: Monitoring, shop: Shop) -> None:
    """See that the first page names the client that bursts, and no other, while requests fail."""
    fault = time.time()
    async with shopping(shop, GROWN) as coming:
        page = await watch.paged(PAGED_WITHIN + 10)
        assert coming.answers[500], coming.answers
        await watch.shows("burst-of-refusals")
        watch.draws("burst-of-refusals", Dashboard.INCIDENT, Dashboard.CONNECTIONS)
    assert page.at - fault < PAGED_WITHIN
    assert page.names == {PAGE}, await watch.report()
    assert page.values("client") == {"api"}
    assert page.values("target") == {"orders"}
    assert "api" in page.annotation(PAGE, "summary")


async def cured(watch: Monitoring, shop: Shop) -> None:
    """See that the same bursts wait for their turn, and that it stays so."""
    async with shopping(shop, GROWN) as coming:
        await watch.called_off()
        await watch.quiet(2)
        assert set(coming.answers) == {200}
