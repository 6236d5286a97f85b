"""A spare connection: it takes over without a gap, and is replaced when there is a slot."""

import asyncio
from typing import Final

import pytest

from exporter.config import parse_config
from exporter.daemon import Daemon
from exporter.demo.cluster import Cluster
from tests.integration.backends import sessions, stopped
from tests.integration.conftest import NewCluster
from tests.integration.slots import (
    AT_ONCE,
    ERRORS,
    INTERVAL,
    INTERVALS,
    LEEWAY,
    NO_PROBE,
    RARE,
    SPARE_SECONDS,
    fill,
    gap,
    glances,
    hammering,
    has_sessions,
    lost,
    own,
    reasons,
    target,
    terminate,
    told,
    up,
    without_a_gap,
)
from tests.integration.staging import MONITOR, Session, Stage, eventually
from tests.integration.watching import POLLS, Scrape, Target, Watch, config_text, watching


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
            shows_ours(await watch.after_poll(), 2)
            # Else the next spare might get the slot that is free for a moment, as it may.
            await stage.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT 1")
            async with hammering(stage) as got:
                lasting = asyncio.ensure_future(glances(watch, 1.5))
                await asyncio.sleep(INTERVAL)
                await terminate(stage, used)
                seen = await lasting
                await has_some(got)
                assert await own(stage) == [spare]
                shows_ours(await watch.after_poll(), 1)
            without_a_gap(seen)
            assert all(ours(scrape) <= 2 for _, scrape in seen)
            assert lost(seen[-1].scrape) == 1
            await stage.execute(f"ALTER ROLE {MONITOR} CONNECTION LIMIT -1")
            await got.pop().close()
            pids = await has_sessions(stage, 2, without=[used])
            assert pids[0] == spare
            shows_ours(await watch.after_poll(), 2)
    assert reasons(logs) == {"connection_lost"}


async def has_some(got: list[Session]) -> None:
    """Wait until somebody has got a slot."""

    async def look() -> bool:
        return bool(got)

    await eventually(look)


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
    await has_sessions(stage, 0)
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
            await a_poll_ends(watch)  # so that the next one would come late
            await terminate(stage, used, replaced)
            seen = await glances(watch, 1.5)
            assert gap(seen) < AT_ONCE
            # The spare's backend may end a moment after the spare was taken: then both were lost.
            assert lost(seen[-1].scrape) in {1, 2}
            pids = await has_sessions(stage, 2, without=[used, replaced])
            await watch.after_poll()
            assert await own(stage) == pids
        await has_sessions(stage, 0)
    assert reasons(logs) == {"connection_lost"}


async def a_poll_ends(watch: Watch) -> None:
    """Wait until an activity poll has ended, however long ago it began."""
    before = (await watch.scrape()).value(POLLS, collector="activity")
    await watch.until(lambda s: s.value(POLLS, collector="activity") != before)


@pytest.mark.slow
async def test_spare_over_a_stopped_backend(new_cluster: NewCluster) -> None:
    """Where our backend hangs on a full server the spare takes over at the deadline."""
    server = new_cluster(max_connections="8")
    # A backend that is stopped in pg_stat_statements may hold a lock there: that read comes later.
    single = RARE | {"activity": "200ms"}
    with told() as logs:
        async with (
            Stage(server) as stage,
            watching(with_spare(server), intervals=single, query_timeout="1s") as watch,
        ):
            await has_sessions(stage, 2)
            await fill(stage)
            [used, spare] = await has_sessions(stage, 2)
            with stopped(used):
                seen = await glances(watch, 2.5)
                assert gap(seen) < AT_ONCE
                assert up(seen[-1].scrape)
                assert max(glance.age for glance in seen[-10:]) < INTERVAL + LEEWAY
                assert sum(seen[-1].scrape.all(ERRORS, reason="timeout").values()) == 1
            # Whose socket we have shut, it ends; its slot is ours again.
            assert (await has_sessions(stage, 2, without=[used]))[0] == spare
    assert reasons(logs) == {"timeout"}


@pytest.mark.slow
async def test_spare_over_a_restart(new_cluster: NewCluster) -> None:
    """A spare of before a restart is not used after it."""
    server = new_cluster()
    rare = NO_PROBE | {"activity": "2s"}
    with told() as logs:
        async with Stage(server) as stage, watching(with_spare(server), intervals=rare) as watch:
            before = await has_sessions(stage, 2)
            # In no thread of its own: until it is over, we notice nothing of it, nor may we poll.
            server.restart()
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
            await has_its_slot(stage)
            fillers = await fill(stage)
            [used, spare] = await has_sessions(stage, 2)
            async with hammering(stage):  # they are nearly always faster than our next poll
                await terminate(stage, used)
                await watch.until(lambda s: lost(s) and up(s), 1 + INTERVAL + LEEWAY)
            assert spare in await own(stage)
            await fillers.pop().close()
            pids = await has_sessions(stage, 2, without=[used])
            without_a_gap(await glances(watch, SPARE_SECONDS))
            assert await own(stage) == pids


async def has_its_slot(stage: Stage) -> None:
    """Wait until the spare has got a slot, whether it still logs in or has done so."""

    async def look() -> bool:
        titles = sessions(stage.cluster).values()
        return any(found.endswith("startup") for found in titles) or len(await own(stage)) == 2

    await eventually(look)


@pytest.mark.slow
async def test_spare_is_ours_by_any_name(cluster: Cluster, stage: Stage) -> None:
    """Whatever the DSN calls our sessions, the spare is no client's, and never orphaned."""
    dsn = cluster.dsn(user=MONITOR, application_name="eyes")
    orphans = {"orphans": {"idle_after": "300ms"}}
    await has_sessions(stage, 0)
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
    await has_sessions(stage, 0)
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
