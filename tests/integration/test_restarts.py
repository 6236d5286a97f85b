"""Servers that crash, restart, hand over or change version, behind an address that stays."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, LiteralString

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from tests.integration import upgrades
from tests.integration.conftest import SETTINGS, NewCluster
from tests.integration.counting import Counters, check_openmetrics
from tests.integration.recording import GOOD, INTERVALS, Glance, Recording, running
from tests.integration.replicas import (
    Address,
    create_logical_slot,
    primary,
    standby,
    subscription,
)
from tests.integration.staging import MONITOR, TURN, Stage, eventually, prepare
from tests.integration.watching import OPENMETRICS, Scrape, Target, Watch, watching

ACTIVE: Final = "pgconn_replication_slot_active"
RETAINED: Final = "pgconn_replication_slot_retained_bytes"
CALLS: Final = "pgconn_statement_calls_total"
SESSIONS: Final = "pgconn_database_sessions_total"
RECENT: Final = "pgconn_statement_recent_mean_seconds"
STARTED: Final = "pgconn_postmaster_start_time_seconds"

# One name of each read: where all of these are there, the whole server is shown again.
WHOLE: Final = {
    *("pgconn_slots_used", "pgconn_slots_max", "pgconn_database_deadlocks_total"),
    *(CALLS, "pgconn_wal_senders_max"),
}
MEBIBYTE: Final = 2**20

Log = list[Any]


@dataclass(slots=True)
class Ride:
    """What a daemon showed and logged, from before a server ended until another was there."""

    watch: Watch
    recording: Recording
    log: Log
    openmetrics: list[str] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)

    async def scrape(self, condition: Callable[[Scrape], Any], target: str = "demo") -> Scrape:
        """Wait until a target is shown so, and give what was shown of it."""
        seen: dict[str, Scrape] = {}

        def look(glance: Glance) -> bool:
            page = of_target(glance.page, target)
            if page in seen:  # parsing takes time from the daemon, which is in our process
                return False
            seen.clear()
            seen[page] = Scrape(page)
            return bool(condition(seen[page]))

        await self.recording.until(look)
        return next(iter(seen.values()))

    async def whole(self) -> None:
        """Wait until every read shows something of the server."""
        await self.recording.until(lambda g: g.of_server("demo") >= WHOLE)

    async def record_openmetrics(self) -> None:
        """Scrape the other format for ever."""
        while True:
            status, page = await self.watch.get(Accept=OPENMETRICS)
            assert status == 200
            self.openmetrics.append(page)
            await asyncio.sleep(10 * TURN)

    def told(self, event: str, key: str) -> list[Any]:
        """Give a value of the lines of the log that tell an event of the target."""
        lines = (line for line in self.log if line["event"] == event)
        return [line[key] for line in lines if line["target"] == "demo"]

    def told_once(self, *versions: int) -> None:
        """Require that loss and recovery of each read were told once, and what answered."""
        assert [number // 10000 for number in self.told("connected", "server_version")] == [
            *versions
        ]
        reasons = self.told("poll failed", "reason")
        reads = self.told("poll failed", "read")
        failed = list(zip(reads, reasons, strict=True))
        # The probe tells its own by another name, and each of the server's excuses once.
        recovered = [read for read in self.told("poll recovered", "read") if read != "probe"]
        assert set(reasons) <= {"connection_lost", "refused"}
        assert len(failed) == len(set(failed)) > 0
        assert sorted(recovered) == sorted(set(reads))

    async def recovered(self) -> None:
        """Wait until all that has failed is told to have recovered."""

        async def look() -> bool:
            failed = set(self.told("poll failed", "read"))
            return failed <= set(self.told("poll recovered", "read"))

        await eventually(look)


def of_target(page: str, target: str) -> str:
    """Give the lines that tell of one target."""
    mark = f'{{target="{target}"'
    return "\n".join(line for line in page.splitlines() if mark in line)


@asynccontextmanager
async def ride(
    targets: Mapping[str, Target], after: Cluster, good: Cluster, **intervals: str
) -> AsyncIterator[Ride]:
    """Watch a server through its end, and another that has nothing to do with it.

    Afterwards, `after` has one session for each target. The good target has missed nothing, no
    fault of ours was logged, nothing was shown of a server that was down, and in no scrape was
    anything negative or twice, nor did a counter fall that must not.
    """
    ways: dict[str, Target] = {**targets, GOOD: good.dsn(user=MONITOR)}
    with capture_logs() as log:
        # The servers share a disk: what is written for one may hold up another for a moment.
        async with watching(ways, query_timeout="5s", intervals=INTERVALS | intervals) as watch:
            recording = Recording(watch, after, list(targets))
            through = Ride(watch, recording, log)
            async with running(recording.run()), running(through.record_openmetrics()):
                await recording.until(lambda g: all(map(g.up, ways)))
                await through.whole()
                yield through
                await recording.up()
                await through.whole()
                await through.recovered()
                await recording.settled()
                await recording.until(lambda _: True)
    for name in targets:
        recording.withdraws(name)
    recording.answers()
    recording.keeps_pace(GOOD)
    assert not [line for line in log if line["log_level"] not in {"info", "warning"}], log
    through.counters.follow(glance.page for glance in recording.glances)
    for page in through.openmetrics:
        check_openmetrics(page)


def work(server: Cluster, count: int) -> None:
    """Be an application that connects, and runs a statement some times."""
    for _ in range(3):
        with psycopg.connect(server.dsn(user="app", dbname="shop"), autocommit=True) as client:
            for _ in range(count):
                # Slow enough to be among the statements that are exported.
                client.execute("SELECT pg_sleep(0.02)")


def calls(scrape: Scrape) -> float:
    """Give the calls of the statement that the application works with, and of no other of its."""
    return asleep(scrape, CALLS) or 0.0


def opened(scrape: Scrape) -> float:
    """Give how many connections the exporter has seen come."""
    return sum(scrape.all("pgconn_connections_opened_total").values())


def counted(server: Cluster) -> set[str]:
    """Give the names of counters that the server has, of those whose fall is expected."""
    return {CALLS} | ({SESSIONS} if server.version >= 14 else set())


# --- Ends


End = Callable[[Cluster], None]


def restart_fast(server: Cluster) -> None:
    """Shut down as a service manager does: sessions are ended, statistics are written."""
    server.stop("fast")


def restart_immediate(server: Cluster) -> None:
    """Shut down at once: at the next start the WAL is replayed, and statistics are lost."""
    server.stop("immediate")


def kill_postmaster(server: Cluster) -> None:
    """Kill the postmaster, as the kernel does when memory is short."""
    server.kill()


@pytest.mark.parametrize(
    ("end", "forgets"),
    [
        (restart_fast, set()),
        pytest.param(restart_immediate, {SESSIONS}, marks=pytest.mark.slow),
        pytest.param(kill_postmaster, {SESSIONS, CALLS}, marks=pytest.mark.slow),
    ],
)
async def test_restart(
    new_cluster: NewCluster, cluster: Cluster, end: End, forgets: set[str]
) -> None:
    """A server that ends takes its series with it; when it is back, so is all of it."""
    server = new_cluster()
    await asyncio.to_thread(work, server, 5)
    async with (
        Stage(server) as stage,
        ride({"demo": server.dsn(user=MONITOR)}, server, cluster) as through,
    ):
        recording = through.recording
        await stage.open()
        before = await through.scrape(lambda s: calls(s) == 15 and opened(s) > 0)
        with recording.fault():
            await asyncio.to_thread(end, server)
            await recording.down()
            server.configure({"max_connections": "55"})
            recording.mending()
            await asyncio.to_thread(server.start)
        await recording.up()
        await asyncio.to_thread(work, server, 1)
        after = await through.scrape(lambda s: calls(s) == (3 if CALLS in forgets else 18))
        await through.scrape(lambda s: s.value("pgconn_slots_max") == 55)
    recording.goes_down("demo")
    recording.comes_back("demo")
    through.told_once(server.version, server.version)
    assert (after.value(STARTED) or 0) > (before.value(STARTED) or 0)
    # A server that shuts down keeps its statistics; others count from zero.
    fallen = set(through.counters.falls)
    assert fallen >= forgets & counted(server) if forgets else not fallen


async def test_crash_of_one_backend(new_cluster: NewCluster, cluster: Cluster) -> None:
    """The server ends every session and recovers, while its postmaster lives on."""
    server = new_cluster()
    await asyncio.to_thread(work, server, 5)
    async with (
        Stage(server) as stage,
        ride({"demo": server.dsn(user=MONITOR)}, server, cluster) as through,
    ):
        recording = through.recording
        [victim] = await stage.open()
        before = await through.scrape(lambda s: calls(s) == 15 and opened(s) > 0)
        with recording.fault():
            os.kill(victim.pid, signal.SIGKILL)
            # It may be back before anybody sees that it is down.
            await recording.until(lambda g: g.errors("demo", "activity", "connection_lost"))
            await accepts(server)
        await recording.up()
        await asyncio.to_thread(work, server, 1)
        after = await through.scrape(lambda s: calls(s) == 3)
    recording.comes_back("demo")
    through.told_once(server.version, server.version)
    assert after.value(STARTED) == before.value(STARTED)
    assert CALLS in through.counters.falls


async def accepts(server: Cluster) -> None:
    """Wait until a server lets clients in."""

    async def look() -> bool:
        try:
            async with await psycopg.AsyncConnection.connect(server.socket_dsn()):
                return True
        except psycopg.OperationalError:
            return False

    await eventually(look)


# --- Failover


# What changes is told within a moment.
FAST: Final = dict.fromkeys(("settings", "replication", "statements"), "500ms")
# Later ones are probes.
OWN_PID: Final = """
SELECT pid FROM pg_stat_activity WHERE application_name = 'pgconn-exporter'
ORDER BY backend_start LIMIT 1
"""


@pytest.mark.slow
async def test_failover(cluster: Cluster) -> None:
    """The address of a primary that dies leads to its standby, which was watched all the time."""
    with ExitStack() as servers:
        first = servers.enter_context(primary())
        heir = servers.enter_context(standby(first))
        address = servers.enter_context(Address(first))
        await asyncio.to_thread(work, first, 5)
        targets = {
            "demo": first.dsn(user=MONITOR, port=str(address.port)),
            "heir": heir.dsn(user=MONITOR),
        }
        async with ride(targets, heir, cluster, **FAST) as through:
            before = await through.scrape(lambda s: calls(s) == 15 and s.all(ACTIVE))
            assert before.value("pgconn_server_info", in_recovery="false") == 1
            pid = await asyncio.to_thread(ask, heir, OWN_PID)
            with through.recording.fault():
                await asyncio.to_thread(first.kill)
                await through.recording.until(lambda g: not g.up("demo"))
                await asyncio.to_thread(ask, heir, "SELECT pg_promote()")
                await through.scrape(is_primary, "heir")
                assert await asyncio.to_thread(ask, heir, OWN_PID) == pid
                address.lead_to(heir)
            await through.recording.until(lambda g: g.up("demo"))
            await asyncio.to_thread(work, heir, 1)
            after = await through.scrape(lambda s: calls(s) == 3)
            await through.scrape(is_primary)
            assert after.all(ACTIVE) == {}
            assert after.value(STARTED) != before.value(STARTED)
    through.recording.goes_down("demo")
    through.recording.comes_back("demo")
    through.recording.stays_up("heir")
    through.told_once(cluster.version, cluster.version)
    assert CALLS in through.counters.falls


def is_primary(scrape: Scrape) -> bool:
    """Tell whether a server is shown as a primary, and not as a standby, too."""
    return list(scrape.table("pgconn_server_info", "in_recovery")) == [("false",)]


def ask(server: Cluster, statement: LiteralString) -> list[tuple[Any, ...]]:
    """Run a statement as the superuser, and give its rows."""
    with psycopg.connect(server.socket_dsn(), autocommit=True) as admin:
        cursor = admin.execute(statement)
        return cursor.fetchall() if cursor.description else []


# --- Upgrade


OF_SERVER_14: Final = {
    SESSIONS,
    "pgconn_database_sessions_ended_total",
    "pgconn_database_session_seconds_total",
}
OF_EXTENSION_1_9: Final = {
    "pgconn_statements_evicted_total",
    "pgconn_statements_reset_timestamp_seconds",
}


@pytest.mark.slow
async def test_upgrade(cluster: Cluster) -> None:
    """A pg_upgrade from 13 to 15 (incident I7), while a consumer wants the changes."""
    settings = SETTINGS | {"wal_level": "logical"}
    with ExitStack() as servers:
        old = servers.enter_context(Cluster(upgrades.OLD, settings))
        prepare(old)
        new = Cluster(upgrades.NEW, settings, old.port)
        servers.callback(new.close)
        consumer = servers.enter_context(Cluster(upgrades.NEW))
        await asyncio.to_thread(work, old, 5)
        async with ride({"demo": old.dsn(user=MONITOR)}, new, cluster, **FAST) as through:
            with subscription(old, consumer) as name:
                await before_the_upgrade(through, old, consumer, name)
                with through.recording.fault():
                    await asyncio.to_thread(old.stop)
                    await through.recording.down()
                    await asyncio.to_thread(upgrades.upgrade, old, new)
                    through.recording.mending()
                    await asyncio.to_thread(new.start)
                await through.recording.up()
                await after_the_upgrade(through, new, consumer, name)
    through.recording.goes_down("demo")
    through.recording.comes_back("demo")
    through.told_once(13, 15)


async def before_the_upgrade(through: Ride, old: Cluster, consumer: Cluster, name: str) -> None:
    """Take the consumer away: its slot holds back what is written."""
    scrape = await through.scrape(lambda s: slot(s, name) == 1 and calls(s) == 15)
    assert major(scrape) == 13
    assert not scrape.names & (OF_SERVER_14 | OF_EXTENSION_1_9)
    await asyncio.to_thread(consumer.stop)
    await through.scrape(lambda s: slot(s, name) == 0)
    await asyncio.to_thread(write_wal, old)
    await through.scrape(lambda s: (slot(s, name, RETAINED) or 0) > MEBIBYTE)


async def after_the_upgrade(through: Ride, new: Cluster, consumer: Cluster, name: str) -> None:
    """Look for what the new version has, and what the old one had."""
    await through.scrape(
        lambda s: (
            major(s) == 15
            and s.names >= OF_SERVER_14
            and s.all("pgconn_timeout_seconds", setting="idle_session_timeout")
        )
    )
    await asyncio.to_thread(work, new, 1)
    await through.scrape(lambda s: calls(s) == 3)
    await the_slot_is_made_anew(through, new, consumer, name)
    # The extension stays as it was, until somebody updates it under our connection.
    scrape = await through.scrape(lambda _: True)
    assert not scrape.names & OF_EXTENSION_1_9
    pid = await asyncio.to_thread(ask, new, OWN_PID)
    await asyncio.to_thread(ask, new, "ALTER EXTENSION pg_stat_statements UPDATE")
    await through.scrape(lambda s: s.names >= OF_EXTENSION_1_9)
    assert await asyncio.to_thread(ask, new, OWN_PID) == pid


async def the_slot_is_made_anew(through: Ride, new: Cluster, consumer: Cluster, name: str) -> None:
    """Before 17, pg_upgrade leaves slots behind: the consumer finds none until there is one."""
    scrape = await through.scrape(lambda s: "pgconn_wal_senders_max" in s.names)
    assert scrape.all(ACTIVE) == {}
    await asyncio.to_thread(create_logical_slot, new, name)
    await through.scrape(lambda s: slot(s, name) == 0)
    await asyncio.to_thread(write_wal, new)
    await through.scrape(lambda s: (slot(s, name, RETAINED) or 0) > MEBIBYTE)
    await asyncio.to_thread(consumer.start)
    await through.scrape(lambda s: slot(s, name) == 1)


def slot(scrape: Scrape, name: str, metric: str = ACTIVE) -> float | None:
    """Give what is told of a logical slot."""
    return scrape.value(metric, slot_name=name, slot_type="logical")


def major(scrape: Scrape) -> int | None:
    """Give the major version that is shown."""
    shown = scrape.table("pgconn_server_info", "version")
    return int(next(iter(shown))[0].split(".")[0]) if shown else None


def write_wal(server: Cluster) -> None:
    """Write a mebibyte, and not only into the server's buffers."""
    with psycopg.connect(server.socket_dsn(), autocommit=True) as admin:
        admin.execute("SET synchronous_commit = on")
        admin.execute("SELECT pg_logical_emit_message(true, 'test', %s)", ("x" * MEBIBYTE,))


# --- Statistics that begin anew while the server runs


async def test_statistics_are_reset(cluster: Cluster, stage: Stage) -> None:
    """A reset of the statistics makes counters small, never negative, and no mean wrong."""
    counters = Counters()
    async with watching({"demo": cluster.dsn(user=MONITOR)}, intervals=INTERVALS | FAST) as watch:
        recording = Recording(watch, cluster, ["demo"])
        async with running(recording.run()):
            recent = [await sleeps(stage, watch, 2, 0.1)]
            recent.append(await sleeps(stage, watch, 3, 0.01))
            # Before 14, only a counter that has gone down tells of a reset.
            if cluster.version >= 14:
                recent.append(await sleeps(stage, watch, 1, 0.01))
                recent.append(await sleeps(stage, watch, 2, 0.1))
                await databases_are_reset(stage, watch)
            await recording.until(lambda _: True)
    counters.follow(glance.page for glance in recording.glances)
    assert set(counters.falls) >= counted(cluster)
    assert any(recent)


SHORTEST_AND_LONGEST: Final = """
SELECT min_exec_time / 1000, max_exec_time / 1000 FROM pg_stat_statements
JOIN pg_roles ON pg_roles.oid = userid WHERE query LIKE '%pg_sleep%' AND rolname = 'app'
"""


async def sleeps(stage: Stage, watch: Watch, count: int, seconds: float) -> float | None:
    """Reset all statistics; what is run then is what is told of. Give its recent mean, if told."""
    await watch.after_poll(read="statements")
    await stage.execute("SELECT pg_stat_statements_reset()")
    for _ in range(count):
        await stage.as_user("app", sql.SQL("SELECT pg_sleep({})").format(seconds))
    [(shortest, longest)] = await stage.fetch(SHORTEST_AND_LONGEST)
    scrape = await watch.until(lambda s: asleep(s, CALLS) == count)
    mean, recent = asleep(scrape, "pgconn_statement_mean_seconds"), asleep(scrape, RECENT)
    assert mean is not None
    # Reads may have come in between, or one more afterwards: recent is what came last, or nothing.
    told = [mean] if recent is None else [mean, recent]
    assert all(0.99 * shortest <= each <= 1.01 * longest for each in told), told
    return recent


def asleep(scrape: Scrape, metric: str) -> float | None:
    """Give what is told of the statement that sleeps."""
    infos = scrape.table("pgconn_statement_info", "queryid", "query", usename="app")
    found = [queryid for queryid, query in infos if "pg_sleep" in query]
    return scrape.value(metric, queryid=found[0], usename="app") if found else None


async def databases_are_reset(stage: Stage, watch: Watch) -> None:
    """Reset the statistics of the database `postgres`."""
    before = await watch.after_poll(read="databases")
    sessions = before.value(SESSIONS, datname="postgres") or 0
    await stage.execute("SELECT pg_stat_reset()")
    await watch.until(lambda s: (s.value(SESSIONS, datname="postgres") or 0) < sessions)
