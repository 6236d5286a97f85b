"""I6: a flood of requests reaches the database through the application."""

import random
import time
from pathlib import Path
from typing import Final

from exporter.alerts.model import Dashboard
from tests.incidents.customers import customers
from tests.incidents.monitoring import INTERVAL_SECONDS, WORTH_OF_FORS, Monitoring
from tests.incidents.serving import Shop, gunicorn
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR

POOL: Final = 24
FLOOD: Final = 60  # who ask at the same time, each again and again
PATIENCE: Final = 30  # seconds that each of them waits for an answer
# `for` 2m is 4 s, and the group waits for one more; the rest is for a machine that is busy.
PAGED_WITHIN: Final = 20
# The 1% of a core that all polls of a target may take, thirty times as fast (monitoring.py); and
# as much again for scrapes and whatever else the exporter does.
OWN_COST: Final = 0.6
# A search takes seconds, as in life: what is slow is not thirty times less here.
SEARCHES_TAKE_LONG: Final = {"slow_query": 30.0}

CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn: shop"}, "pool_size": POOL},
    {"name": "back-office", "match": {"application_name": "gunicorn: office"}, "pool_size": 4},
]


async def test_flood(new_cluster: NewCluster, tmp_path: Path) -> None:
    """The page names the client that is flooded; the exporter stays cheap, and as fast as ever."""
    server = new_cluster()
    dsn = server.dsn(user="app", dbname="shop")
    target = {"name": "orders", "dsn": server.dsn(user=MONITOR)}
    threads = ("--workers", "2", "--threads", str(POOL // 2))
    async with (
        gunicorn(tmp_path, dsn, *threads, conn_max_age=0) as shop,
        gunicorn(tmp_path, dsn, "--threads", "4", name="gunicorn: office") as office,
        customers(1, lambda: f"{office.url}/item"),
        customers(3, lambda: searching(shop), pause=0.2, patience=PATIENCE) as regulars,
        monitored(tmp_path, [target], CLIENTS, SEARCHES_TAKE_LONG) as watch,
    ):
        await regulars.served(5)
        await watch.quiet(WORTH_OF_FORS)
        fault = time.time()
        async with customers(FLOOD, lambda: searching(shop), pause=0, patience=PATIENCE):
            await the_flooded_are_paged(watch, fault)
            await the_flood_is_seen(watch)
            await the_exporter_keeps_calm(watch, fault)
            await watch.shows("flood")
            watch.draws("flood", Dashboard.INCIDENT, Dashboard.LOAD)
        await regulars.served(5)
        await watch.called_off()
        assert len(watch.pager.firing) == 1, await watch.report()


def searching(shop: Shop) -> str:
    """Give a page of which a flood is most expensive: the database is asked for a while.

    So long that the pool is busy for far more than 95 % of the time, on a slow machine, too; and
    not all as long, lest all connect at the same moment.
    """
    return f"{shop.url}/report?seconds={random.uniform(2, 4):.2f}"


async def the_flooded_are_paged(watch: Monitoring, fault: float) -> None:
    """See that the first page names the client, and no other."""
    page = await watch.paged()
    assert page.at - fault < PAGED_WITHIN
    assert page.names == {"PostgresClientPoolSaturated"}, await watch.report()
    assert page.values("client") == {"api"}


async def the_flood_is_seen(watch: Monitoring) -> None:
    """See churn and active sessions explode for the client, and for no other."""
    opened = "sum by (client) (rate(pgconn_connections_opened_total[5s])) > 4"
    (churn,) = await watch.until(opened, len)
    active = 'sum by (client) (rate(pgconn_session_seconds_total{state="active"}[5s])) > 10'
    (load,) = await watch.until(active, len)
    assert churn.labels["client"] == load.labels["client"] == "api"


async def the_exporter_keeps_calm(watch: Monitoring, fault: float) -> None:
    """See that scrapes do not fail and are not slow, and what the exporter took for itself."""
    await watch.quiet(3)  # longer than a group waits
    since = f"[{time.time() - fault:.0f}s]"
    # One or two may meet a moment in which the machine stands still: none may take half a second.
    (answered,) = await watch.query(f"avg_over_time(up{since})")
    assert answered.value > 0.9
    (slow,) = await watch.query(f"quantile_over_time(0.9, scrape_duration_seconds{since})")
    assert slow.value < INTERVAL_SECONDS / 2
    (cost,) = await watch.query(f"rate(process_cpu_seconds_total{since})")
    assert cost.value < OWN_COST
    assert not await watch.query(f"increase(pgconn_poll_errors_total{since}) > 0")
