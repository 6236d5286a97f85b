"""Servers that are down, hang, restart or change: one target's trouble, and never for long."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from exporter.server.connection import Connection
from exporter.snapshot import Databases
from tests.integration.conftest import NewCluster
from tests.integration.slots import has_sessions, own, terminate
from tests.integration.staging import MONITOR, Stage
from tests.integration.watching import Scrape, Watch, watching

INTERVAL = 0.2
ERRORS = "pgconn_poll_errors_total"


@contextmanager
def no_traceback() -> Iterator[list[Any]]:
    """Give the log, and require that nothing in it is an error that nobody foresaw."""
    with capture_logs() as logs:
        yield logs
    assert [line for line in logs if line["log_level"] not in {"info", "warning"}] == []
    assert [line for line in logs if "exc_info" in line] == []


def up(scrape: Scrape, target: str = "demo") -> bool:
    """Tell whether a target is shown as up."""
    return scrape.value("pgconn_up", target=target) == 1


def series_of_server(scrape: Scrape, target: str = "demo") -> set[str]:
    """Give the names of what was read from a server, not about our polls."""
    ours = ("pgconn_up", "pgconn_poll_", "pgconn_probe_")
    return {
        name
        for name, labels in scrape.samples
        if dict(labels).get("target") == target and not name.startswith(ours)
    }


async def test_down_at_start(new_cluster: NewCluster, cluster: Cluster) -> None:
    """A server that is down when we start is polled once it is there; others do not wait."""
    server = new_cluster()
    dsn = server.dsn(user=MONITOR)
    server.stop()
    with no_traceback() as logs:
        async with watching({"demo": dsn, "good": cluster.dsn(user=MONITOR)}) as watch:
            scrape = await watch.until(lambda s: s.value(ERRORS, reason="refused"))
            assert not up(scrape)
            assert series_of_server(scrape) == set()
            await watch.until(lambda s: up(s, "good"))
            await asyncio.to_thread(server.start)
            started = time.monotonic()
            await watch.until(up)
            # A poll that comes more often than once a second connects no more often than that.
            assert time.monotonic() - started < 1 + 2 * INTERVAL + 1.5
            await watch.until(lambda s: "pgconn_slots_max" in series_of_server(s))
    assert [line["reason"] for line in logs if line["event"] == "poll failed"] == ["refused"]


async def fast_scrapes(watch: Watch, seconds: float) -> list[tuple[float, Scrape]]:
    """Scrape for some time; give how long each took."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        scrape = await watch.scrape()
        found.append((time.monotonic() - began, scrape))
    return found


async def test_one_session_for_all_polls_and_scrapes(cluster: Cluster, stage: Stage) -> None:
    """The server counts one session of ours, however often we poll and are scraped."""
    with no_traceback():
        async with watching({"demo": cluster.dsn(user=MONITOR)}, intervals=ONE_PROBE) as watch:
            await watch.after_poll()
            [pid] = await has_sessions(stage, 1)
            start = await settled_sessions(stage)
            await fast_scrapes(watch, 1.0)
            for _ in range(5):
                await watch.after_poll()
            assert await own(stage) == [pid]
            assert await settled_sessions(stage) == start
    await has_sessions(stage, 0)


# With no other session of ours than that at the start, however long the test takes.
ONE_PROBE = {"activity": "200ms", "databases": "1s", "settings": "1s", "probe": "1h"}


async def sessions(stage: Stage) -> int:
    """Count the sessions that there have ever been (14 on; before, only our pid tells)."""
    if stage.cluster.version < 14:
        return 0
    [(count,)] = await stage.fetch(
        "SELECT sum(sessions)::int FROM pg_stat_database WHERE datname = 'postgres'"
    )
    assert isinstance(count, int)
    return count


async def settled_sessions(stage: Stage) -> int:
    """Count them when the count has come to rest: before 15 it may be half a second old."""
    before, now = -1, await sessions(stage)
    while now != before:
        await asyncio.sleep(1)
        before, now = now, await sessions(stage)
    return now


async def test_own_session_terminated(cluster: Cluster, stage: Stage) -> None:
    """A connection that an administrator ends is made again at once, not at the next poll."""
    with no_traceback():
        async with watching(
            {"demo": cluster.dsn(user=MONITOR)}, intervals={"activity": "1h"}
        ) as watch:
            await watch.until(up)
            [pid] = await has_sessions(stage, 1)  # and none of the probe any more
            await terminate(stage, pid)
            await watch.until(lambda s: s.value(ERRORS, reason="connection_lost"))
            await watch.until(up)


async def test_wrong_password_and_unknown_names(new_cluster: NewCluster) -> None:
    """What a person must mend is told as authentication, without the password."""
    server = new_cluster()
    server.write_hba(["host all all 127.0.0.1/32 scram-sha-256"])
    server.reload()
    targets = {
        "password": server.dsn(user=MONITOR, password="hunter2"),
        "none": server.dsn(user=MONITOR),
        "role": server.dsn(user="nobody_here", password="hunter2"),
        "good": server.dsn(user=MONITOR, password="secret"),
        "database": server.dsn(user=MONITOR, password="secret", dbname="nowhere"),
    }
    with no_traceback() as logs:
        async with watching(targets) as watch:
            await watch.until(lambda s: up(s, "good"))
            await watch.until(lambda s: len(s.all(ERRORS, reason="authentication")) == 4)
            scrape = await watch.until(lambda s: len(s.all("pgconn_probe_success")) == len(targets))
    probes = scrape.table("pgconn_probe_failures_total", "target", "sqlstate")
    assert "hunter2" not in str(logs) + scrape.text
    assert probes["password", "28P01"] == 1
    assert probes["database", "3D000"] == 1
    assert ("good", "28P01") not in probes


def failures(scrape: Scrape) -> dict[frozenset[tuple[str, str]], float]:
    """Give the errors, but for those that tell what our own role's settings hide."""
    found = scrape.all(ERRORS)
    hidden = scrape.all(ERRORS, collector="settings", reason="overridden")
    return {series: count for series, count in found.items() if series not in hidden}


async def test_timeouts_of_our_role_do_not_end_us(cluster: Cluster, stage: Stage) -> None:
    """What an administrator set for our role does not cut us off, once we are connected."""
    await stage.role("hasty")
    await stage.execute("GRANT pg_monitor TO hasty")
    await stage.execute("ALTER ROLE hasty SET statement_timeout = '1ms'")
    if cluster.version >= 14:
        await stage.execute("ALTER ROLE hasty SET idle_session_timeout = '50ms'")
    with no_traceback():
        async with watching({"demo": cluster.dsn(user="hasty")}) as watch:
            # Before our guards are up, a millisecond may be too short on a busy machine.
            connected = await watch.until(up)
            for _ in range(3):
                scrape = await watch.after_poll()
                assert up(scrape)
            assert failures(scrape) == failures(connected)


@pytest.mark.slow
async def test_overhead_limit_stretches_the_intervals(cluster: Cluster) -> None:
    """Where polls would cost more than max_overhead, all intervals grow, and no read starves."""
    async with watching({"demo": cluster.dsn(user=MONITOR)}, max_overhead="0.2%") as watch:
        scrape = await watch.until(
            lambda s: (s.value(INTERVALS, collector="activity") or 0) > 1.5 * INTERVAL
        )
        shown = scrape.table(INTERVALS, "collector")
        assert shown["settings",] / shown["activity",] == pytest.approx(1 / INTERVAL)
        assert up(scrape)
        # The first polls are the dearest, but how far they stretch it in the end is not known yet.
        await watch.after_poll(read="settings", patience=60)


INTERVALS = "pgconn_poll_interval_seconds"


async def test_a_fault_of_our_own_costs_one_read(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one read is told with its traceback, counted, and holds nothing else up."""

    async def faulty(connection: Connection) -> Databases:
        raise ZeroDivisionError(connection.dbname)

    monkeypatch.setattr("exporter.reads.postgresql.read_databases", faulty)
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
            scrape = await watch.until(
                lambda s: (s.value(ERRORS, collector="databases", reason="query") or 0) >= 2
            )
            assert up(scrape)
    assert "unforeseen" in str([line for line in logs if line["log_level"] == "error"])
