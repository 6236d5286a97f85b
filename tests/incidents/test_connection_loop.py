"""I2: a nightly job opens a session for each item and never closes one, until nobody can log in."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg

from exporter.alerts.model import Dashboard
from exporter.demo.cluster import Cluster
from tests.incidents.customers import Customers, customers
from tests.incidents.monitoring import WORTH_OF_FORS, Monitoring
from tests.incidents.runbooks import statement
from tests.incidents.serving import gunicorn, nightly
from tests.incidents.watching import monitored
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, eventually

THREADS: Final = 6
EVERY: Final = 0.29  # seconds from item to item: 82 slots in 12 minutes, thirty times as fast
# The job takes the slots in some 22 s; then there is a probe within a second, the next scrape,
# two evaluations and group_wait (1 s). The rest is for a machine that is busy.
PAGED_WITHIN: Final = 40
FULL: Final = 5  # seconds that nobody can log in: two and a half minutes

CLIENTS: Final[Sequence[Mapping[str, object]]] = [
    {"name": "api", "match": {"application_name": "gunicorn*"}, "pool_size": THREADS},
    {"name": "nightly", "match": {"application_name": "nightly*"}},
]
FILLED = "pgconn_slots_used / on (job, instance, target) pgconn_slots_usable"
TICKET, PAGE = "PostgresSlotsExhaustionForecast", "PostgresConnectionsRefused"


async def test_connection_loop(new_cluster: NewCluster, tmp_path: Path) -> None:
    """A ticket comes before the slots are scarce, the page names the job, all is seen meanwhile."""
    server = new_cluster(max_connections="85", superuser_reserved_connections="3")
    target = {"name": "orders", "dsn": server.dsn(user=MONITOR)}
    async with (
        shopping(server, tmp_path) as buying,
        monitored(tmp_path, [target], CLIENTS) as watch,
    ):
        async with job(server, tmp_path):
            await buying.served(20)
            await watch.quiet(WORTH_OF_FORS)
        assert set(buying.answers) == {200}
        async with job(server, tmp_path, "--leak"):
            fault = time.time()
            await the_job_is_paged(watch, fault)
            await a_ticket_came_before(watch, fault)
            await everything_keeps_coming(watch, server, fault)
            await others_suffer(buying)
            await watch.shows("connection-loop")
            watch.draws("connection-loop", Dashboard.INCIDENT, Dashboard.CONNECTIONS)
            assert await terminated(server) > 60
        await buying.served(20)
        await watch.called_off()
        await watch.quiet(3)
    assert len(watch.pager.firing) == 1, await watch.report()


@asynccontextmanager
async def shopping(server: Cluster, folder: Path) -> AsyncIterator[Customers]:
    """Run the shop, which opens a connection for each request, with customers in it."""
    dsn = server.dsn(user="app", dbname="shop")
    flags = ("--workers", "2", "--threads", str(THREADS // 2))
    async with (
        gunicorn(folder, dsn, *flags, conn_max_age=0) as shop,
        customers(4, lambda: f"{shop.url}/item", pause=0.4) as buying,
    ):
        yield buying


def job(server: Cluster, folder: Path, *flags: str) -> AbstractAsyncContextManager[None]:
    """Run the nightly job, at its pace."""
    dsn = server.dsn(user="celery", dbname="shop")
    return nightly(folder, dsn, "--every", str(EVERY), *flags)


async def the_job_is_paged(watch: Monitoring, fault: float) -> None:
    """See that the first page says that connections are refused, and names the job alone."""
    page = await watch.paged(PAGED_WITHIN + 10)
    assert page.names == {PAGE}, await watch.report()
    assert page.at - fault < PAGED_WITHIN
    assert page.values("client") == {"nightly"}
    assert page.values("target") == {"orders"}
    assert "nightly" in page.annotation(PAGE, "summary")


async def a_ticket_came_before(watch: Monitoring, fault: float) -> None:
    """See that full slots were foreseen, and who would fill them, before 90 % were used."""
    ticket = await watch.ticketed(TICKET)
    assert "nightly grows most" in ticket.annotation(TICKET, "summary")
    assert not watch.tickets.firing[0].values("client") & {"api"}
    scarce = await watch.first(f"{FILLED} >= 0.9", fault)
    assert scarce is not None
    assert ticket.at < scarce, await watch.report()


async def everything_keeps_coming(watch: Monitoring, server: Cluster, fault: float) -> None:
    """See who holds what, and since when all are refused, while nobody else can log in."""
    await eventually(lambda: refused(server))
    full = time.time()
    await watch.until("vector(time())", lambda answer: answer[0].value > full + FULL)
    await eventually(lambda: refused(server))
    await without_a_gap(watch)
    [busy] = await watch.query('pgconn_client_busy_connections{client="nightly"}')
    [held] = await watch.query('sum(pgconn_connections{client="nightly", state="idle"})')
    assert busy.value == 0
    assert held.value > 60
    [since] = await watch.until("pgconn_probe_failing_since_timestamp_seconds", len)
    half = await watch.first(f"{FILLED} >= 0.5", fault)  # 12 s before
    assert half is not None
    assert half < since.value < time.time()


async def others_suffer(buying: Customers) -> None:
    """See that the shop's customers get errors: it opens connections, too."""

    async def look() -> bool:
        return buying.answers[500] > 0

    await eventually(look)


async def without_a_gap(watch: Monitoring) -> None:
    """See that each scrape gave the slots and the refusals, and that most were in time."""
    answered = f"sum_over_time(up[{FULL}s])"  # half a second is little on a busy machine
    for metric in ("pgconn_slots_used", 'pgconn_probe_failures_total{sqlstate="53300"}'):
        given = f"count_over_time({metric}[{FULL}s])"
        # As of one moment: a scrape may come between two questions.
        assert await watch.query(f"{given} == on (job, instance) {answered} > {FULL}")
    [reached] = await watch.query(f"min_over_time(pgconn_up[{FULL}s])")
    assert reached.value == 1


async def refused(server: Cluster) -> bool:
    """Try to log in as an engineer would."""
    try:
        psycopg.connect(server.dsn(user="reports", dbname="shop")).close()
    except psycopg.OperationalError as error:
        return "slots are reserved" in str(error)
    return False


async def terminated(server: Cluster) -> int:
    """End the job's idle sessions as the runbook says, by one of a superuser's own slots."""
    with await eventually(lambda: let_in(server)) as superuser:
        return len(superuser.execute(statement(PAGE, "pg_terminate_backend")).fetchall())


async def let_in(server: Cluster) -> psycopg.Connection:
    """Log in as a superuser; whoever is refused holds such a slot, too, until he is told so."""
    try:
        return psycopg.connect(server.socket_dsn(), autocommit=True)
    except psycopg.OperationalError as error:
        raise AssertionError(str(error)) from None
