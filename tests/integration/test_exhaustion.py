"""Servers whose slots are all taken: who is connected stays so, and who is not gets the next."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import pytest

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.slots import (
    AT_ONCE,
    CAUGHT,
    FREE_FOR,
    FULL,
    INTERVAL,
    INTERVALS,
    LEEWAY,
    NO_PROBE,
    OFFERS_RESERVE,
    RARE,
    READS,
    SINCE,
    Glance,
    caught,
    errors,
    failures,
    fill,
    gap,
    glances,
    hammering,
    has_sessions,
    lost,
    own,
    reasons,
    refusals,
    target,
    terminate,
    told,
    up,
    without_a_gap,
)
from tests.integration.staging import (
    MONITOR,
    PASSWORD,
    Client,
    Stage,
)
from tests.integration.watching import LAST, POLLS, Target, watching

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
                    errors(s, FULL, name)
                    and s.value("pgconn_probe_failures_total", target=name, sqlstate="53300")
                    for name in targets
                )
            )
            for name in targets:
                assert not up(scrape, name)
                assert scrape.value("pgconn_probe_success", target=name) == 0
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
                first = await watch.until(lambda s: s.value("pgconn_probe_success") == 0)
                since = first.value(SINCE) or 0.0
                # A probe that is under way when the last slot is taken has begun before that.
                assert before - LEEWAY < since < time.time()
                await watch.after_poll()
                seen = await glances(watch, 2.0)
                await watch.until(
                    lambda s: all(
                        s.value(LAST, collector=read) != first.value(LAST, collector=read)
                        for read in READS
                    )
                )
            without_a_gap(seen)
            told_by_probe(seen, since)
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
            before, began = len(refusals(server)), time.monotonic()
            async with watching({"demo": target(server)}, intervals=slow) as watch:
                scrape = await watch.until(lambda s: errors(s, FULL) >= 3)
                seconds = time.monotonic() - began
                assert seconds > 1.5 * 0.5, "the errors are those of the polls, not of every try"
                asked = refusals(server)[before:]
                assert statistics.median(b - a for a, b in pairwise(asked)) < 0.4
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
                # It may have been turned away, and got in again, before that slot was taken.
                scrape = await watch.until(lambda s: errors(s, FULL) and not up(s))
                assert scrape.all("pgconn_slots_used") == {}
            await caught(stage, fillers + got)
            await watch.until(up, INTERVAL + LEEWAY)
            without_a_gap(await glances(watch, 1.0))
    # A loss that is noticed between two polls is told by what is met then: a full server.
    assert failures(logs)[-1] == FULL
    assert set(failures(logs)) <= {"connection_lost", FULL}


@pytest.mark.skipif(not OFFERS_RESERVE, reason="there is no pg_use_reserved_connections")
async def test_terminated_with_a_reserve(new_cluster: NewCluster) -> None:
    """A role that may use the reserve gets back in the same poll, however many ask for slots."""
    # Who is turned away has a slot until then, of the reserve: there must be room for all who ask.
    server = new_cluster(max_connections="12", reserved_connections="4")
    rare = RARE | {"activity": "10s"}  # no poll but the one that finds the connection lost
    with told() as logs:
        async with Stage(server) as stage:
            await stage.execute(f"GRANT pg_use_reserved_connections TO {MONITOR}")
            async with watching({"demo": target(server)}, intervals=rare) as watch:
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
