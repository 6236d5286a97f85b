"""The values of every series are those that SQL gives, asked by another session."""

import asyncio
from collections import Counter
from typing import Any, Final

import pytest

from exporter.demo.cluster import Cluster
from tests.integration.backends import stopped
from tests.integration.conftest import NewCluster
from tests.integration.slots import has_sessions
from tests.integration.staging import (
    MONITOR,
    ODD_NAMES,
    Client,
    Session,
    Stage,
    eventually,
)
from tests.integration.watching import Scrape, Watch, watching

IDENTITY: Final = ("client_addr", "usename", "application_name", "datname", "state")
CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn*"}, "pool_size": 4},
    {"name": "office", "match": {"client_addr": ["127.0.0.32/28", "::1"]}},
    {"name": "cron", "match": {"client_addr": "local", "usename": "celery"}},
    {"name": "nobody", "match": {"usename": "nobody"}},
]

SESSIONS: Final = """
SELECT CASE WHEN client_port = -1 THEN 'local' ELSE coalesce(host(client_addr), '') END,
    coalesce(usename, ''), coalesce(application_name, ''), coalesce(datname, ''),
    coalesce(state, ''), pid,
    extract(epoch FROM clock_timestamp() - state_change)::float8,
    extract(epoch FROM clock_timestamp() - backend_start)::float8,
    extract(epoch FROM clock_timestamp() - xact_start)::float8,
    extract(epoch FROM clock_timestamp() - query_start)::float8
FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
PID: Final = 5
Rows = list[tuple[Any, ...]]


async def rows(stage: Stage) -> Rows:
    """Read the sessions as an administrator would."""
    return await stage.fetch(SESSIONS)


async def staged_everything(stage: Stage) -> list[Session]:
    """Open sessions in every state, from several addresses, with odd names."""
    sessions: list[Session] = []
    for number, state in enumerate(
        ("idle", "active", "idle in transaction", "idle in transaction (aborted)", "disabled"), 1
    ):
        client = Client("app", f"gunicorn: {number}", f"127.0.0.{number + 1}")
        sessions += await stage.open(client, state, count=number)  # type: ignore[arg-type]
    sessions += await stage.open(Client("celery", "beat", "local"), "idle", count=2)
    sessions += await stage.open(Client("reports", "", "127.0.0.40"), "active")
    for name in ODD_NAMES:
        await stage.role(name)
        await stage.database(name)
        sessions += await stage.open(Client(name, name, "127.0.0.9", name), "idle")
    return sessions


async def look(watch: Watch, stage: Stage) -> tuple[Rows, Scrape, Rows]:
    """Read the sessions, ours among them, before and after a poll, and scrape that.

    Nobody comes or goes meanwhile, as the probe does, and whoever was closed just before.
    """

    async def undisturbed() -> tuple[Rows, Scrape, Rows]:
        before, scrape, after = await rows(stage), await watch.after_poll(), await rows(stage)
        assert {row[PID] for row in before} == {row[PID] for row in after}
        return before, scrape, after

    await watch.after_poll()
    return await eventually(undisturbed)


@pytest.fixture
def dsn(cluster: Cluster) -> dict[str, str]:
    """Give the one target of these tests."""
    return {"demo": cluster.dsn(user=MONITOR)}


async def test_every_series_equals_sql(stage: Stage, dsn: dict[str, str]) -> None:
    """Counts are equal; an age lies between those of a query before and one after the poll."""
    sessions = await staged_everything(stage)
    await stage.aged(sessions[:2], 1.0)
    async with watching(dsn, clients=CLIENTS) as watch:
        before, scrape, after = await look(watch, stage)
    counts = Counter(row[:5] for row in before if row[1] not in NOT_STAGED)
    shown = scrape.table("pgconn_connections", *IDENTITY)
    assert {key: n for key, n in shown.items() if key[1] not in NOT_STAGED} == counts
    assert len(counts) == 5 + 2 + len(ODD_NAMES)
    by_database, by_role = Counter((r[3],) for r in before), Counter((r[1],) for r in before)
    assert scrape.value("pgconn_slots_used") == len(before)
    assert scrape.table("pgconn_database_connections", "datname") == by_database
    assert scrape.table("pgconn_role_connections", "usename") == by_role
    for metric, labels, column in AGES:
        ages = [oldest(found, labels, column) for found in (before, after)]
        compare_ages(scrape, metric, labels, *ages)
    running = [[row for row in found if row[4] == "active"] for found in (before, after)]
    queries = [oldest(found, IDENTITY[1:-1], 9) for found in running]
    compare_ages(scrape, "pgconn_query_age_max_seconds", IDENTITY[1:-1], *queries)


# Sessions that do something themselves while we look: ours, and the one that asks.
NOT_STAGED: Final = {MONITOR, "postgres"}
AGES: Final = (
    ("pgconn_connection_state_age_max_seconds", IDENTITY, 6),
    ("pgconn_connection_age_max_seconds", ("usename", "datname"), 7),
    ("pgconn_transaction_age_max_seconds", IDENTITY[1:], 8),
)
COLUMNS: Final = {name: index for index, name in enumerate(IDENTITY)}
CLOCK_TICK: Final = 0.001


Ages = dict[tuple[str, ...], float]


def compare_ages(
    scrape: Scrape, metric: str, labels: tuple[str, ...], low: Ages, high: Ages
) -> None:
    """Require each age to lie between SQL's before and after, and no series to be missing."""
    user = labels.index("usename")
    shown: Ages = {}
    for key, value in scrape.table(metric, *labels, "client").items():
        if key[user] not in NOT_STAGED:
            shown[key[:-1]] = max(value, shown.get(key[:-1], 0.0))
    assert shown.keys() == low.keys()
    for key, value in shown.items():
        assert low[key] - CLOCK_TICK <= value <= high[key] + CLOCK_TICK, (metric, key)


def oldest(found: Rows, labels: tuple[str, ...], column: int) -> Ages:
    """Give the highest age by label values, of staged rows that have one."""
    ages: Ages = {}
    for row in found:
        if row[column] is not None and row[1] not in NOT_STAGED:
            key = tuple(row[COLUMNS[label]] for label in labels)
            ages[key] = max(ages.get(key, 0.0), row[column])
    return ages


async def test_clients(stage: Stage, dsn: dict[str, str]) -> None:
    """Each connection has its client; configured ones are there with zero, ours is named."""
    await staged_everything(stage)
    async with watching(dsn, clients=CLIENTS) as watch:
        before, scrape, _ = await look(watch, stage)
    totals = scrape.table("pgconn_client_connections", "client")
    assert totals["api",] == 15
    assert totals["office",] == 1
    assert totals["cron",] == 2
    assert totals["nobody",] == 0
    assert totals["pgconn-exporter",] >= 1
    assert sum(totals.values()) == len(before)
    busy = scrape.table("pgconn_client_busy_connections", "client")
    assert busy["api",] == 2 + 3 + 4
    assert scrape.table("pgconn_client_pool_size", "client") == {("api",): 4}
    idle = [row for row in before if row[4] == "idle" and row[2].startswith("gunicorn")]
    assert scrape.value("pgconn_idle_age_seconds_bucket", client="api", le="+Inf") == len(idle)
    assert (scrape.value("pgconn_connections_peak", client="api") or 0) >= 15


@pytest.mark.slow
async def test_dropped_labels(stage: Stage, dsn: dict[str, str]) -> None:
    """Labels that are not wanted are empty, and their connections counted together."""
    await staged_everything(stage)
    async with watching(dsn, connection_labels=["usename"]) as watch:
        before, scrape, _ = await look(watch, stage)
    shown = scrape.table("pgconn_connections", *IDENTITY)
    assert {key[0] + key[2] + key[3] for key in shown} == {""}
    assert sum(shown.values()) == len(before)
    # The limits of databases and roles are compared with all of their connections.
    assert len(scrape.table("pgconn_database_connections", "datname")) > 2


async def test_blocked(stage: Stage, dsn: dict[str, str]) -> None:
    """Victims of a lock are counted, their wait is the server's, culprits are kept apart."""
    pile = await stage.pile_up(3)
    [slow] = await stage.open(Client("reports", "report"), "active")
    await stage.aged([slow, *pile.waiters], 1.0, "query_start")
    async with watching(dsn, slow_query_after="500ms") as watch:
        before = await stage.fetch(WAITS)
        scrape = await watch.after_poll()
        after = await stage.fetch(WAITS)
    assert scrape.table("pgconn_blocked_connections", "usename") == {("app",): 3}
    wait = scrape.value("pgconn_lock_wait_max_seconds", usename="app")
    assert wait is not None
    assert before[0][0] <= wait <= after[0][0]
    slow_queries = scrape.table("pgconn_slow_queries", "usename", "blocked")
    assert slow_queries == {("app", "true"): 3, ("reports", "false"): 1}


WAITS: Final = """
SELECT max(extract(epoch FROM clock_timestamp()
    - coalesce((to_jsonb(l) ->> 'waitstart')::timestamptz, a.query_start)))::float8
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE NOT granted
"""


async def test_churn_and_load(stage: Stage, dsn: dict[str, str]) -> None:
    """Connections that come and go are counted, and session seconds grow as time does."""
    async with watching(dsn, clients=CLIENTS) as watch:
        first = await watch.after_poll()
        opened = await stage.open(Client("app", "gunicorn"), "idle in transaction", count=5)
        await stage.shows(opened, "wait_event = 'ClientRead'")
        await watch.until(lambda s: s.value("pgconn_connections_opened_total", client="api") == 5)
        start = await watch.after_poll()
        await stage.aged(opened, 2.0, "backend_start")
        end = await watch.after_poll()
        for session in opened:
            await session.close()
        last = await watch.until(
            lambda s: s.value("pgconn_connections_closed_total", client="api") == 5
        )
    assert first.value("pgconn_connections_opened_total", client="api") == 0
    load = {"client": "api", "state": "idle in transaction", "wait_event": "ClientRead"}
    grown = end.value(SECONDS, **load)
    began = start.value(SECONDS, **load)
    assert grown is not None
    assert began is not None
    assert grown - began == pytest.approx(5 * (staged_age(end) - staged_age(start)), rel=0.01)
    assert last.value("pgconn_client_connections", client="api") == 0


async def test_load_when_polls_are_late(stage: Stage, dsn: dict[str, str]) -> None:
    """A poll that comes late counts the time that it is late for."""
    await stage.open(Client("app", "gunicorn"), "idle in transaction", count=5)
    load = {"client": "api", "state": "idle in transaction"}
    async with watching(dsn, clients=CLIENTS, query_timeout="10s") as watch:
        start = await watch.after_poll()
        [own] = await has_sessions(stage, 1)  # and none of the probe any more
        with stopped(own):
            late = await watch.scrape()
            await asyncio.sleep(1)  # five polls of the interval, and less than the deadline
            # One may have been answered a moment before.
            assert polls_of(await watch.scrape()) <= polls_of(late) + 1
        end = await watch.after_poll()
    grown = sum(end.all(SECONDS, **load).values()) - sum(start.all(SECONDS, **load).values())
    assert grown == pytest.approx(5 * (staged_age(end) - staged_age(start)), rel=0.01)


SECONDS: Final = "pgconn_session_seconds_total"


def polls_of(scrape: Scrape) -> float:
    """Give how often the activity was read."""
    value = scrape.value("pgconn_poll_duration_seconds_count", collector="activity")
    assert value is not None
    return value


def staged_age(scrape: Scrape) -> float:
    """Give the age of the staged sessions, by which time between polls is the server's own."""
    value = scrape.value("pgconn_connection_state_age_max_seconds", client="api")
    assert value is not None
    return value


async def test_limits_and_settings(stage: Stage, dsn: dict[str, str]) -> None:
    """Slots, limits and identity of the server are those that SHOW says."""
    await stage.role("limited", "LOGIN CONNECTION LIMIT 7")
    await stage.database("narrow")
    await stage.execute("ALTER DATABASE narrow CONNECTION LIMIT 9")
    [(version, most, superuser, reserved, start)] = await stage.fetch(
        "SELECT current_setting('server_version'), current_setting('max_connections')::int,"
        " current_setting('superuser_reserved_connections')::int,"
        " current_setting('reserved_connections', true)::int,"
        " extract(epoch FROM pg_postmaster_start_time())::float8"
    )
    async with watching(dsn) as watch:
        await watch.until(lambda s: s.value("pgconn_probe_success") is not None)
        await watch.after_poll(read="databases")
        scrape = await watch.after_poll(read="settings")
    assert scrape.table("pgconn_role_connection_limit", "usename") == {("limited",): 7}
    assert scrape.table("pgconn_database_connection_limit", "datname") == {("narrow",): 9}
    assert scrape.value("pgconn_slots_max") == most
    assert scrape.value("pgconn_slots_usable") == most - superuser - (reserved or 0)
    assert scrape.value("pgconn_slots_reserved", role="superuser") == superuser
    assert scrape.value("pgconn_slots_reserved", role="pg_use_reserved_connections") == reserved
    assert scrape.value("pgconn_server_info", version=version, in_recovery="false") == 1
    assert scrape.value("pgconn_postmaster_start_time_seconds") == pytest.approx(start, abs=1e-3)
    assert scrape.value("pgconn_probe_success") == 1
    assert scrape.value("pgconn_privileges_limited") == 0


@pytest.mark.slow
async def test_slots_that_a_vendor_keeps(new_cluster: NewCluster) -> None:
    """RDS keeps slots for its administrators by a setting of its own: they are not usable."""
    server = new_cluster(0, **{"rds.rds_superuser_reserved_connections": "2"})
    async with watching({"demo": server.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll(read="settings")
    assert scrape.value("pgconn_slots_reserved", role="rds_superuser") == 2
    reserved = sum(scrape.all("pgconn_slots_reserved").values())
    assert reserved > 2
    assert scrape.value("pgconn_slots_usable") == 100 - reserved


async def test_what_vanishes_is_gone_at_the_next_poll(stage: Stage, dsn: dict[str, str]) -> None:
    """A series exists only while it is true."""
    [session] = await stage.open(Client("app", "short-lived"), "idle")
    async with watching(dsn) as watch:
        shown = await watch.after_poll()
        assert shown.value("pgconn_connections", application_name="short-lived") == 1
        await session.close()
        await stage.gone([session])
        scrape = await watch.after_poll()
    assert "short-lived" not in scrape.text


async def test_series_limit(stage: Stage, dsn: dict[str, str]) -> None:
    """A new application_name for each connection stays within the limit, and is counted."""
    for number in range(20):
        await stage.open(Client("app", f"attacker {number}"), "idle")
    async with watching(dsn, max_series=10) as watch:
        before, scrape, _ = await look(watch, stage)
    shown = scrape.table("pgconn_connections", *IDENTITY)
    assert len(shown) <= 10
    assert sum(shown.values()) == len(before)
    assert (scrape.value("pgconn_series_folded", metric="pgconn_connections") or 0) > 10


async def test_names_that_are_no_utf8(cluster: Cluster, stage: Stage) -> None:
    """A role that was named in a database of another encoding does not end the read."""
    await stage.latin_database("latin")
    await stage.in_database("latin", 'CREATE ROLE "café" CONNECTION LIMIT 5')
    try:
        async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
            scrape = await watch.until(lambda s: s.all("pgconn_role_connection_limit"))
    finally:
        await stage.in_database("latin", 'DROP ROLE "café"')
    assert scrape.table("pgconn_role_connection_limit", "usename") == {("caf\\xe9",): 5}
    assert scrape.all("pgconn_poll_errors_total") == {}
