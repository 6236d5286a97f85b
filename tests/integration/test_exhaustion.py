"""Servers whose slots are all taken: who is connected stays so, and who is not gets the next."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from typing import Any, Final, NamedTuple

import pytest
from psycopg import OperationalError
from structlog.testing import capture_logs

from exporter.config import parse_config
from exporter.daemon import Daemon
from exporter.demo.binaries import version_text
from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster, bin_dir
from tests.integration.staging import (
    APP,
    MONITOR,
    PASSWORD,
    PATIENCE,
    Client,
    Session,
    Stage,
    eventually,
)
from tests.integration.watching import LAST, POLLS, Scrape, Target, Watch, config_text, watching

INTERVAL: Final = 0.2
PROBE: Final = 0.3
INTERVALS: Final = {
    "activity": "200ms",
    "probe": "300ms",
    "settings": "500ms",
    "databases": "500ms",
    "statements": "500ms",
    "replication": "500ms",
}
NO_PROBE: Final = INTERVALS | {"probe": "60s"}  # but for one at the start
RARE: Final = {"activity": "1s", "probe": "60s"}  # and no other read that finds out sooner
# What a busy machine may add to any time that is promised.
LEEWAY: Final = 0.7
CAUGHT: Final = 5.0  # seconds within which a slot that is free for FREE_FOR is ours
FREE_FOR: Final = 0.2
AT_ONCE: Final = 0.5  # seconds: to connect anew in the same poll, and not in the next one
SPARE_SECONDS: Final = 1.0  # between two attempts to open a spare

FULL: Final = "too_many_connections"
ERRORS: Final = "pgconn_poll_errors_total"
SINCE: Final = "pgconn_probe_failing_since_timestamp_seconds"
READS: Final = ("activity", "settings", "databases", "statements", "replication")

OWN: Final = """
SELECT pid FROM pg_stat_activity
WHERE application_name = 'pgconn-exporter' AND backend_type = 'client backend'
ORDER BY backend_start
"""
OFFERS_RESERVE: Final = version_text(bin_dir()).split()[-1] >= "16"
REFUSED: Final = re.compile("FATAL:  (remaining connection slots|sorry, too many clients)")


# --- Staging


def target(server: Cluster, **keys: object) -> dict[str, object]:
    """Give a target whose probe is told from the sessions that are kept."""
    probe = {"dsn": server.dsn(user=MONITOR, application_name="probe")}
    return {"dsn": server.dsn(user=MONITOR), "probe": probe} | keys


async def fill(stage: Stage, client: Client = APP) -> list[Session]:
    """Take every slot that a client may take."""
    await stage.fetch("SELECT 1")  # the administrator is there, who would take of the reserve
    taken = []
    with contextlib.suppress(OperationalError):
        while True:
            taken.append(await stage.connect(client))
    return taken


@asynccontextmanager
async def hammering(
    stage: Stage, pause: float = 0.02, clients: int = 2
) -> AsyncIterator[list[Session]]:
    """Have clients ask for a slot all the time; give those who have got one, and hold it."""
    got: list[Session] = []

    async def ask() -> None:
        while True:
            with contextlib.suppress(OperationalError):
                got.append(await stage.connect(APP))
            await asyncio.sleep(pause)

    tasks = [asyncio.ensure_future(ask()) for _ in range(clients)]
    try:
        yield got
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def own(stage: Stage) -> list[int]:
    """Give the pids of our sessions, the oldest first: it is the one that is used."""
    return [pid for (pid,) in await stage.fetch(OWN)]


async def terminate(stage: Stage, *pids: int) -> None:
    """End sessions as an administrator does."""
    await stage.fetch(
        "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [list(pids)]
    )


async def has_sessions(
    stage: Stage, count: int, *, without: Sequence[int] = (), patience: float = PATIENCE
) -> list[int]:
    """Wait until there are so many sessions of ours, none of them one of these; give them."""

    async def look() -> tuple[list[int]]:
        pids = await own(stage)
        assert len(pids) == count, pids
        assert not set(pids) & set(without), pids
        return (pids,)

    [pids] = await eventually(look, patience)
    return pids


async def caught(stage: Stage, fillers: list[Session]) -> float:
    """Let slots be free, each for a moment and once a second; give how long it took us to get one.

    A slot that nobody took is taken again by an application.
    """
    began = time.monotonic()
    while not await own(stage):
        assert time.monotonic() < began + CAUGHT, "no slot was caught"
        await fillers.pop().close()
        with contextlib.suppress(AssertionError):
            await has_sessions(stage, 1, patience=FREE_FOR)
        fillers += await fill(stage)
        if not await own(stage):
            await asyncio.sleep(1 - FREE_FOR)
    return time.monotonic() - began


@contextmanager
def told() -> Iterator[list[Any]]:
    """Give the log, and require that nothing in it is an error that nobody foresaw."""
    with capture_logs() as logs:
        yield logs
    levels = {"debug", "info", "warning"}
    assert [line for line in logs if line["log_level"] not in levels or "exc_info" in line] == []


def failures(logs: Sequence[Any], target: str = "demo", read: str = "activity") -> list[str]:
    """Give the reasons of the failed polls that were logged."""
    lines = [line for line in logs if line["event"] == "poll failed"]
    return [line["reason"] for line in lines if (line["target"], line["read"]) == (target, read)]


def reasons(logs: Sequence[Any]) -> set[str]:
    """Give the reasons of all failed polls that were logged."""
    return {line["reason"] for line in logs if line["event"] == "poll failed"}


def up(scrape: Scrape, target: str = "demo") -> bool:
    """Tell whether a target is shown as up."""
    return scrape.value("pgconn_up", target=target) == 1


def errors(scrape: Scrape, reason: str, target: str = "demo", read: str = "activity") -> float:
    """Count the failed polls of a read."""
    return scrape.value(ERRORS, target=target, collector=read, reason=reason) or 0.0


def lost(scrape: Scrape) -> float:
    """Count how often a read found that the connection was lost."""
    return sum(scrape.all(ERRORS, reason="connection_lost").values())


class Glance(NamedTuple):
    """A scrape, and when it was answered (seconds since the epoch)."""

    at: float
    scrape: Scrape

    @property
    def age(self) -> float:
        """Give the age of the newest activity poll that succeeded, in seconds."""
        return self.at - (self.scrape.value(LAST, collector="activity") or 0.0)


async def glances(watch: Watch, seconds: float) -> list[Glance]:
    """Scrape every 50 ms for some time."""
    found, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        scrape = await watch.scrape()
        found.append(Glance(time.time(), scrape))
        await asyncio.sleep(0.05)
    return found


def without_a_gap(seen: Sequence[Glance]) -> None:
    """Require that the picture was there and fresh in every scrape, and that no counter fell."""
    assert all(up(scrape) for _, scrape in seen)
    assert max(glance.age for glance in seen) < INTERVAL + LEEWAY
    polls = {scrape.value(LAST, collector="activity") for _, scrape in seen}
    assert len(polls) > 0.5 * (seen[-1].at - seen[0].at) / INTERVAL
    for (_, before), (_, after) in pairwise(seen):
        for name in ("pgconn_slots_used", "pgconn_slots_max", "pgconn_server_info"):
            assert after.all(name), name
        counters = {key: v for key, v in before.samples.items() if key[0].endswith("_total")}
        lost = {key for key, value in counters.items() if after.samples.get(key, -1) < value}
        assert lost == set()


# --- In whatever words


def wordings(version: int) -> dict[str, str]:
    """Give what the server says to each role when no slot is left that it may take."""
    ordinary, superusers = "non-replication superuser connections", ""
    if version >= 16:
        superusers = "roles with the SUPERUSER attribute"
        ordinary = 'roles with privileges of the "pg_use_reserved_connections" role'
    return {
        "ordinary": f"remaining connection slots are reserved for {ordinary}",
        "favoured": f"remaining connection slots are reserved for {superusers}",
        "superuser": "sorry, too many clients already",
        "limited": 'too many connections for role "limited"',
        "database": 'too many connections for database "narrow"',
    }


async def turned_away(targets: dict[str, Target], words: dict[str, str]) -> None:
    """Start when there is no slot for any of the targets; each tells so, and its probe 53300."""
    with told() as logs:
        async with watching(targets, intervals=INTERVALS) as watch:
            scrape = await watch.until(
                lambda s: all(
                    errors(s, FULL, name) and s.value("pgconn_probe_success", target=name) == 0
                    for name in targets
                )
            )
            for name in targets:
                assert not up(scrape, name)
                assert scrape.value("pgconn_probe_failures_total", target=name, sqlstate="53300")
                assert scrape.value(SINCE, target=name)
    for name in targets:
        [line] = [x for x in logs if x["event"] == "poll failed" and x["target"] == name]
        assert line["reason"] == FULL
        assert words[name] in line["error"]


async def test_every_wording(new_cluster: NewCluster) -> None:
    """Whichever limit is reached, and for whom: it is too_many_connections, and 53300."""
    server = new_cluster(max_connections="12")
    words = wordings(server.version)
    async with Stage(server) as stage:
        await stage.role("limited", "LOGIN CONNECTION LIMIT 1")
        await stage.role("favoured")
        await stage.database("narrow")
        await stage.execute("ALTER DATABASE narrow CONNECTION LIMIT 1")
        if server.version >= 16:
            await stage.execute("GRANT pg_use_reserved_connections TO favoured")
            await nothing_is_reserved(stage, words["favoured"])
            server.configure({"reserved_connections": "2"})
            await asyncio.to_thread(server.restart)
        await stage.connect(Client("limited"))
        await stage.connect(Client("app", dbname="narrow"))
        limits: dict[str, Target] = {
            "limited": server.dsn(user="limited"),
            "database": server.dsn(user=MONITOR, dbname="narrow"),
        }
        await turned_away(limits, words)
        await fill(stage)
        await turned_away({"ordinary": server.dsn(user=MONITOR)}, words)
        if server.version >= 16:
            assert len(await fill(stage, Client("favoured"))) == 2
            await turned_away({"favoured": server.dsn(user="favoured")}, words)
        await fill(stage, Client("postgres"))
        await turned_away({"superuser": server.dsn()}, words)


async def nothing_is_reserved(stage: Stage, words: str) -> None:
    """Where reserved_connections is 0, as it is by default, who may use the reserve has none."""
    sessions = await fill(stage)
    ways: dict[str, Target] = {
        "ordinary": stage.cluster.dsn(user=MONITOR),
        "favoured": stage.cluster.dsn(user="favoured"),
    }
    await turned_away(ways, dict.fromkeys(ways, words))
    for session in sessions:
        await session.close()


# --- Connected before


async def test_the_kept_connection_delivers(new_cluster: NewCluster) -> None:
    """While all slots are taken each scrape is fresh; the probe tells since when clients fail."""
    server = new_cluster(max_connections="12")
    with told() as logs:
        async with (
            Stage(server) as stage,
            watching({"demo": target(server)}, intervals=INTERVALS) as watch,
        ):
            await watch.until(lambda s: s.value("pgconn_probe_success") == 1)
            await watch.until(lambda s: len(s.all(LAST)) == len(READS) + 1)
            [pid] = await own(stage)
            before = time.time()
            await fill(stage)
            async with hammering(stage):
                full = time.time()
                first = await watch.until(lambda s: s.value("pgconn_probe_success") == 0)
                since = first.value(SINCE) or 0.0
                assert before < since < full + PROBE + LEEWAY
                await watch.after_poll()
                seen = await glances(watch, 2.0)
            without_a_gap(seen)
            told_by_probe(seen, since)
            last = seen[-1].scrape
            for read in READS:
                assert last.value(LAST, collector=read) != first.value(LAST, collector=read)
            assert await own(stage) == [pid]
            await stage.clear()
            scrape = await watch.until(lambda s: s.value("pgconn_probe_success") == 1)
            assert scrape.value(SINCE) is None
            assert up(scrape)
    assert failures(logs) == []
    assert [x["sqlstate"] for x in logs if x["event"] == "new connections fail"] == ["53300"]


def told_by_probe(seen: Sequence[Glance], since: float) -> None:
    """Require that every scrape told that clients are turned away, and since when."""
    for _, scrape in seen:
        assert scrape.value("pgconn_probe_success") == 0
        assert scrape.value(SINCE) == since
        usable = scrape.value("pgconn_slots_usable")
        assert usable is not None
        assert (scrape.value("pgconn_slots_used") or 0) >= usable
    refused = [s.value("pgconn_probe_failures_total", sqlstate="53300") or 0 for _, s in seen]
    assert refused[-1] - refused[0] >= 2


# --- Started, or lost, while it is full


async def test_started_on_a_full_server(new_cluster: NewCluster) -> None:
    """It says so once, asks fast, gets a slot that is free for a moment, and holds it."""
    server = new_cluster(max_connections="8")
    async with Stage(server) as stage:
        fillers = await fill(stage)
        with told() as logs:
            slow = NO_PROBE | {"activity": "500ms"}
            async with watching({"demo": target(server)}, intervals=slow) as watch:
                scrape = await watch.until(lambda s: errors(s, FULL))
                asked, began = len(REFUSED.findall(server.log_text())), time.monotonic()
                scrape = await watch.until(lambda s: errors(s, FULL) >= 3)
                asked = len(REFUSED.findall(server.log_text())) - asked
                seconds = time.monotonic() - began
                assert asked > seconds / 0.3
                assert seconds > 1.5 * 0.5, "the errors are those of the polls, not of every try"
                assert not up(scrape)
                assert scrape.all("pgconn_slots_used") == {}
                assert errors(scrape, FULL) == scrape.value(POLLS, collector="activity")
                await caught(stage, fillers)
                await watch.until(up, 1 + LEEWAY)
                assert all(up(scrape) for _, scrape in await glances(watch, 1.0))
                assert len(await own(stage)) == 1
    assert failures(logs) == [FULL]
    assert [x["event"] for x in logs if x["event"] == "connected"] == ["connected"]


@pytest.mark.slow
async def test_against_a_competitor(new_cluster: NewCluster) -> None:
    """Where an application asks for slots ten times a second, too, we get one soon."""
    server = new_cluster(max_connections="8")
    async with Stage(server) as stage:
        fillers = await fill(stage)
        async with watching({"demo": target(server)}, intervals=NO_PROBE) as watch:
            await watch.until(lambda s: errors(s, FULL))
            began = time.monotonic()
            async with hammering(stage, pause=0.1, clients=1) as got:
                while not await own(stage):
                    assert time.monotonic() < began + CAUGHT
                    await (got or fillers).pop().close()
                    await asyncio.sleep(FREE_FOR)
            await watch.until(up, INTERVAL + LEEWAY)
            await fill(stage)
            without_a_gap(await glances(watch, 1.0))


async def test_terminated_on_a_full_server(new_cluster: NewCluster) -> None:
    """Whose session is ended, and whose slot is taken at once, is as one that just starts."""
    server = new_cluster(max_connections="8")
    with told() as logs:
        async with (
            Stage(server) as stage,
            watching({"demo": target(server)}, intervals=NO_PROBE) as watch,
        ):
            await watch.until(up)
            fillers = await fill(stage)
            async with hammering(stage) as got:
                while not got:  # our next poll may come sooner than they
                    await terminate(stage, *await own(stage))
                    await asyncio.sleep(FREE_FOR)
                scrape = await watch.until(lambda s: errors(s, FULL))
                assert not up(scrape)
                assert scrape.all("pgconn_slots_used") == {}
            await caught(stage, fillers + got)
            await watch.until(up, INTERVAL + LEEWAY)
            without_a_gap(await glances(watch, 1.0))
    assert failures(logs)[-2:] == ["connection_lost", FULL]


@pytest.mark.skipif(not OFFERS_RESERVE, reason="there is no pg_use_reserved_connections")
async def test_terminated_with_a_reserve(new_cluster: NewCluster) -> None:
    """A role that may use the reserve gets back in the same poll, however many ask for slots."""
    server = new_cluster(max_connections="12", reserved_connections="2")
    with told() as logs:
        async with Stage(server) as stage:
            await stage.execute(f"GRANT pg_use_reserved_connections TO {MONITOR}")
            async with watching({"demo": target(server)}, intervals=RARE) as watch:
                await watch.until(up)
                await fill(stage)
                async with hammering(stage):
                    for _ in range(2):
                        await terminate(stage, *await has_sessions(stage, 1))
                        seen = await glances(watch, 1.5)
                        assert lost(seen[-1].scrape)
                        assert gap(seen) < AT_ONCE
                        assert up(seen[-1].scrape)
    assert reasons(logs) == {"connection_lost"}


def gap(seen: Sequence[Glance]) -> float:
    """Give for how long at a time a target was not up, at most."""
    longest, since = 0.0, None
    for at, scrape in seen:
        since = None if up(scrape) else since or at
        longest = max(longest, at - (since or at))
    return longest


# --- With a spare


def with_spare(server: Cluster) -> dict[str, Target]:
    """Give a target that keeps a second connection."""
    return {"demo": target(server, spare=True)}


IDLE: Final = "now() - state_change > '0.5 s' FROM pg_stat_activity WHERE pid = %s"


async def test_spare(new_cluster: NewCluster) -> None:
    """Whose session is ended on a full server goes on over the spare without a gap."""
    server = new_cluster(max_connections="8")
    orphans = {"orphans": {"idle_after": "300ms"}}
    with told() as logs:
        async with (
            Stage(server) as stage,
            watching(with_spare(server), intervals=INTERVALS, **orphans) as watch,
        ):
            await has_sessions(stage, 2)
            await fill(stage)
            await watch.until(lambda s: s.value("pgconn_probe_success") == 0)
            [used, spare] = await has_sessions(stage, 2)
            await stage.until(IDLE, [spare])
            async with hammering(stage) as got:
                lasting = asyncio.ensure_future(glances(watch, 1.5))
                await asyncio.sleep(INTERVAL)
                await terminate(stage, used)
                seen = await lasting
                assert got
                assert await own(stage) == [spare]
            without_a_gap(seen)
            assert all(ours(scrape) <= 2 for _, scrape in seen)
            shows_ours(seen[0].scrape, 2)
            shows_ours(seen[-1].scrape, 1)
            assert lost(seen[-1].scrape) == 1
            await got.pop().close()
            pids = await has_sessions(stage, 2, without=[used])
            assert pids[0] == spare
            shows_ours(await watch.after_poll(), 2)
    assert reasons(logs) == {"connection_lost"}


def ours(scrape: Scrape) -> float:
    """Count the connections that are shown as ours."""
    return sum(scrape.all("pgconn_connections", client="pgconn-exporter").values())


def shows_ours(scrape: Scrape, count: int) -> None:
    """Require that so many connections are shown as ours, and that none of them is orphaned."""
    assert ours(scrape) == count
    assert scrape.all("pgconn_orphaned_connections", client="pgconn-exporter") == {}
    assert scrape.all("pgconn_orphaned_connections", usename=MONITOR) == {}


@pytest.mark.slow
async def test_spare_is_replaced(cluster: Cluster, stage: Stage) -> None:
    """A spare that an administrator ends is replaced, and so are both when both are ended."""
    with told() as logs:
        async with watching(with_spare(cluster), intervals=RARE) as watch:
            await watch.until(up)
            [used, spare] = await has_sessions(stage, 2)
            lasting = asyncio.ensure_future(glances(watch, SPARE_SECONDS + 1.0))
            await terminate(stage, spare)
            [still_used, replaced] = await has_sessions(stage, 2, without=[spare])
            assert still_used == used
            seen = await lasting
            assert all(up(scrape) for _, scrape in seen)
            assert lost(seen[-1].scrape) == 0
            await terminate(stage, used, replaced)
            seen = await glances(watch, 1.5)
            assert gap(seen) < AT_ONCE
            assert lost(seen[-1].scrape) == 1
            pids = await has_sessions(stage, 2, without=[used, replaced])
            await watch.after_poll()
            assert await own(stage) == pids
        await has_sessions(stage, 0)
    assert reasons(logs) == {"connection_lost"}


@pytest.mark.slow
async def test_spare_over_a_stopped_backend(new_cluster: NewCluster) -> None:
    """Where our backend hangs on a full server the spare takes over at the deadline."""
    server = new_cluster(max_connections="8")
    deadline = 0.5
    # A backend that is stopped in pg_stat_statements may hold a lock there: that read comes later.
    single = RARE | {"activity": "200ms"}
    with told() as logs:
        async with (
            Stage(server) as stage,
            watching(with_spare(server), intervals=single, query_timeout="500ms") as watch,
        ):
            await has_sessions(stage, 2)
            await fill(stage)
            [used, spare] = await has_sessions(stage, 2)
            with stage.stopped_pid(used):
                seen = await glances(watch, 2.0)
                assert gap(seen) < deadline + INTERVAL + LEEWAY
                assert up(seen[-1].scrape)
                assert max(glance.age for glance in seen[-20:]) < INTERVAL + LEEWAY
                assert sum(seen[-1].scrape.all(ERRORS, reason="timeout").values()) == 1
            # Whose socket we have shut, it ends; its slot is ours again.
            assert (await has_sessions(stage, 2, without=[used]))[0] == spare
    assert reasons(logs) == {"timeout"}


@pytest.mark.slow
async def test_spare_over_a_restart(new_cluster: NewCluster) -> None:
    """A spare of before a restart is not used after it."""
    server = new_cluster()
    rare = NO_PROBE | {"activity": "2s"}  # the restart is over by the next poll
    with told() as logs:
        async with Stage(server) as stage, watching(with_spare(server), intervals=rare) as watch:
            before = await has_sessions(stage, 2)
            await asyncio.to_thread(server.restart)
            await watch.after_poll()
            await has_sessions(stage, 2, without=before)
    assert [x for x in logs if x["event"] == "spare connection taken"] == []


@pytest.mark.slow
async def test_spare_that_comes_late(new_cluster: NewCluster) -> None:
    """A spare that was being opened when we lost our slot has got one, and is used."""
    server = new_cluster(max_connections="8")
    # After it has got its slot a login of ours takes that long.
    dsn = server.dsn(user=MONITOR, options="-c post_auth_delay=1")
    async with Stage(server) as stage:
        keys = target(server, spare=True, dsn=dsn)
        async with watching({"demo": keys}, intervals=NO_PROBE) as watch:
            await watch.until(up)
            fillers = await fill(stage)
            [used, spare] = await has_sessions(stage, 2)
            async with hammering(stage):  # they are nearly always faster than our next poll
                await terminate(stage, used)
                await watch.until(lambda s: lost(s) and up(s), 1 + INTERVAL + LEEWAY)
            assert spare in await own(stage)
            await fillers.pop().close()
            pids = await has_sessions(stage, 2)
            without_a_gap(await glances(watch, SPARE_SECONDS))
            assert await own(stage) == pids


@pytest.mark.slow
async def test_spare_is_ours_by_any_name(cluster: Cluster, stage: Stage) -> None:
    """Whatever the DSN calls our sessions, the spare is no client's, and never orphaned."""
    dsn = cluster.dsn(user=MONITOR, application_name="eyes")
    orphans = {"orphans": {"idle_after": "300ms"}}
    async with watching({"demo": {"dsn": dsn, "spare": True}}, **orphans) as watch:
        [spare] = await has_sessions(stage, 1)
        await stage.until(IDLE, [spare])
        shows_ours(await watch.after_poll(), 2)


@pytest.mark.slow
async def test_spare_over_reload_and_stop(cluster: Cluster, stage: Stage) -> None:
    """A reload keeps both connections, or closes the spare that is no longer wanted."""
    changes: tuple[dict[str, object], ...]
    changes = ({}, {"slow_query_after": "1s"}, {"spare": False}, {})
    configs = [
        parse_config(config_text({"demo": target(cluster, spare=True) | change}), "test.yaml", {})
        for change in changes
    ]
    daemon = Daemon(configs.pop(0), load=lambda: configs.pop(0))
    with told():
        await daemon.start()
        try:
            pids = await has_sessions(stage, 2)
            assert await daemon.reload() is None
            assert await has_sessions(stage, 2) == pids
            assert await daemon.reload() is None
            [single] = await has_sessions(stage, 1)
            assert await daemon.reload() is None
            await has_sessions(stage, 2, without=[single, *pids])
        finally:
            await daemon.stop()
        await has_sessions(stage, 0)


# --- What else may happen meanwhile


@pytest.mark.slow
async def test_the_server_ends_while_it_waits(new_cluster: NewCluster) -> None:
    """Who waits for a slot of a server that ends is connected soon after it is back."""
    server = new_cluster(max_connections="8")
    with told() as logs:
        async with Stage(server) as stage:
            await fill(stage)
            async with watching({"demo": target(server)}, intervals=NO_PROBE) as watch:
                await watch.until(lambda s: errors(s, FULL))
                await asyncio.to_thread(server.stop, "immediate")
                await watch.until(lambda s: errors(s, "refused"))
                await asyncio.to_thread(server.start)
                await watch.until(up, 1 + INTERVAL + LEEWAY)
                assert len(await own(stage)) == 1
    assert failures(logs) == [FULL, "refused"]


@pytest.mark.slow
async def test_the_password_changes_while_it_waits(new_cluster: NewCluster) -> None:
    """Who waits for a slot, and is no longer let in, asks no more often than others do."""
    server = new_cluster(max_connections="8")
    server.write_hba([f"host all {MONITOR} 127.0.0.1/32 scram-sha-256"])
    dsn = server.dsn(user=MONITOR, password=PASSWORD)
    with told() as logs:
        async with Stage(server) as stage:
            await stage.execute("SET password_encryption = 'scram-sha-256'")  # md5 before 14
            await fill(stage)
            async with watching({"demo": dsn}, intervals=NO_PROBE) as watch:
                await watch.until(lambda s: errors(s, FULL))
                await stage.execute(f"ALTER ROLE {MONITOR} PASSWORD 'another'")
                await watch.until(lambda s: errors(s, "authentication"))
                asked = server.log_text().count(WRONG)
                await asyncio.sleep(1.5)
                assert server.log_text().count(WRONG) <= asked + 2
    assert failures(logs) == [FULL, "authentication"]


WRONG: Final = "password authentication failed"


@pytest.mark.slow
async def test_several_targets_of_one_server(new_cluster: NewCluster, cluster: Cluster) -> None:
    """Each target that waits gets a slot of its own; one on another server notices nothing."""
    server = new_cluster(max_connections="8")
    full = ("one", "two")
    async with Stage(server) as stage:
        fillers = await fill(stage)
        dsns = dict.fromkeys(full, server.dsn(user=MONITOR)) | {"good": cluster.dsn(user=MONITOR)}
        async with watching(dsns, intervals=NO_PROBE) as watch:
            await watch.until(lambda s: all(errors(s, FULL, name) for name in full))
            await watch.until(lambda s: up(s, "good"))
            for count in (1, 2):
                await fillers.pop().close()
                await has_sessions(stage, count, patience=CAUGHT)
            scrape = await watch.until(lambda s: all(up(s, name) for name in full))
            assert errors(scrape, FULL, "good") == 0
            await fill(stage)
            assert all(
                up(scrape, name)
                for _, scrape in await glances(watch, 1.0)
                for name in (*full, "good")
            )
