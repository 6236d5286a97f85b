"""Servers and networks that hang: what is promised then holds, whatever hangs, and where."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import LiteralString

import pytest

from exporter.demo.cluster import Cluster
from tests.integration.backends import sessions, stopped
from tests.integration.conftest import SETTINGS, NewCluster, bin_dir
from tests.integration.networks import Network, needs_root
from tests.integration.proxies import MANNERS, Proxy
from tests.integration.recording import (
    DEADLINE,
    INTERVAL,
    INTERVALS,
    RETRY,
    Glance,
    Recording,
    recorded,
)
from tests.integration.staging import MONITOR, Stage, eventually, prepare
from tests.integration.watching import Target

KEEPALIVES = 8.0  # seconds after which the server ends a session of ours whose network is dead
LOGIN_SECONDS = 2  # for the tests in which no login comes to its end: a minute by default

log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Run the server that hangs; each test leaves it as it found it."""
    settings = {"authentication_timeout": f"{LOGIN_SECONDS}s"}
    with Cluster(bin_dir(), SETTINGS | settings) as cluster:
        prepare(cluster)
        yield cluster


def gets_in(glance: Glance) -> bool:
    """Tell whether the last probe got in."""
    return glance.probe("demo") == 1


def is_shut_out(glance: Glance) -> bool:
    """Tell whether the last probe did not get in."""
    return glance.probe("demo") == 0


# --- Processes that hang


async def test_own_backend_stopped(server: Cluster, cluster: Cluster) -> None:
    """A backend of ours that hangs costs one deadline: a new one is made, and the old one ends."""
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.up()
        [old] = await record.settled()
        with record.fault(), stopped(old):
            await record.down()
            await record.up()
            assert old in await record.settled(2)
        assert old not in await record.settled()
    record.goes_down("demo", comes_back=True)


async def test_every_process_stopped(server: Cluster, cluster: Cluster) -> None:
    """A server that hangs as a whole is down; what we asked of it meanwhile leaves no session."""
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.up()
        with record.fault(), stopped(*server.processes()):
            await record.down()
            await record.failed("demo", "timeout", times=3)
            assert not record.newest.probe("demo")
        await record.up()
    record.goes_down("demo")
    record.comes_back("demo")


@pytest.mark.slow
async def test_postmaster_stopped(server: Cluster, cluster: Cluster) -> None:
    """Where nobody gets in any more our connection goes on, and the probe tells it."""
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.until(gets_in)
        before = await record.settled()
        with record.fault(), stopped(server.pid):
            await record.until(is_shut_out)
            await record.polled("demo", "probe")
        await record.until(gets_in)
        assert set(await record.settled()) == set(before)
    record.keeps_pace("demo")
    record.stays_fresh("demo")


# --- Networks that are dead


@pytest.fixture
def network() -> Iterator[Network]:
    """Give a network of its own, joined to ours."""
    with Network() as joined:
        yield joined


@pytest.fixture
def away(new_cluster: NewCluster, network: Network) -> Cluster:
    """Give a server in that network."""
    server = network.inside(lambda: new_cluster(listen_addresses="*"))
    server.write_hba([f"host all all {network.here}/32 trust"])
    return server


@contextlib.contextmanager
def cut(network: Network) -> Iterator[None]:
    """Let nothing pass."""
    network.cut()
    try:
        yield
    finally:
        network.heal()


@pytest.mark.slow
@needs_root
async def test_network_cut_for_a_moment(away: Cluster, cluster: Cluster, network: Network) -> None:
    """What is lost for less than the deadline TCP sends again: nobody sees more than a delay."""
    dsn = away.dsn(user=MONITOR, host=network.there)
    async with recorded({"demo": dsn}, away, cluster) as record:
        await record.up()
        before = await record.settled()
        with record.fault(), cut(network):
            await asyncio.sleep(DEADLINE / 4)
        await record.polled("demo")
        assert set(await record.settled()) == set(before)
    record.stays_up("demo")
    record.stays_fresh("demo")


@pytest.mark.slow
@needs_root
async def test_network_cut_while_a_poll_is_under_way(
    away: Cluster, cluster: Cluster, network: Network
) -> None:
    """An answer that never arrives is a timeout; it is soon forgotten once the network heals."""
    dsn = away.dsn(user=MONITOR, host=network.there)
    async with recorded({"demo": dsn}, away, cluster) as record:
        await record.up()
        with record.fault():
            with stopped(*sessions(away)):
                await asyncio.sleep(2 * INTERVAL)
                network.cut()
            with cut(network):
                await record.down()
                await record.failed("demo", "timeout", times=2)
        await record.up()
    record.goes_down("demo")
    record.comes_back("demo", within=LOST)


# The attempt that was under way had its packets lost, and comes to its end before the next one.
LOST = DEADLINE + RETRY


@pytest.mark.slow
@needs_root
async def test_network_cut_for_long(away: Cluster, cluster: Cluster, network: Network) -> None:
    """The server ends our session by itself, since it has the keepalives that we asked for."""
    dsn = away.dsn(user=MONITOR, host=network.there)
    async with recorded({"demo": dsn}, away, cluster) as record:
        await record.up()
        before = await record.settled()
        with record.fault(), cut(network):
            await record.down()
            assert set(sessions(away)) >= set(before)
            await record.settled(0, patience=2 * KEEPALIVES)
        await record.up()
    record.goes_down("demo")
    record.comes_back("demo", within=LOST)


@pytest.mark.slow
async def test_new_connections_blackholed(server: Cluster, cluster: Cluster) -> None:
    """Where new connections vanish the old one goes on; once it is lost we are back in time."""
    async with Proxy(server.port) as proxy:
        dsn = server.dsn(user=MONITOR, port=str(proxy.port))
        async with recorded({"demo": dsn}, server, cluster) as record:
            await record.until(gets_in)
            await proxy.plug()
            await record.until(is_shut_out)
            await record.polled("demo", "probe")
            record.keeps_pace("demo")
            record.stays_fresh("demo")
            with record.fault():
                proxy.cut()
                await record.down()
                await record.failed("demo", "timeout", times=2)
                proxy.unplug()
            await record.up()
    record.goes_down("demo")
    record.comes_back("demo", within=LOST)


# --- Proxies that are of no use


@asynccontextmanager
async def proxies(server: Cluster) -> AsyncIterator[dict[str, Proxy]]:
    """Give a proxy in front of the server for each manner, by its name."""
    async with AsyncExitStack() as stack:
        yield {
            manner.__name__: await stack.enter_async_context(Proxy(server.port))
            for manner in MANNERS
        }


def through(server: Cluster, ways: dict[str, Proxy]) -> dict[str, Target]:
    """Give the way to the server through each proxy, for a client that has a password.

    They are polled less often than others: in the end all of them are up, in one process of ours.
    """
    return {
        name: {
            "dsn": server.dsn(user=MONITOR, password="secret", port=str(proxy.port)),
            "intervals": RARE | {"activity": f"{RETRY:g}s"},
        }
        for name, proxy in ways.items()
    }


RARE = dict.fromkeys(INTERVALS, "10s")


def spoil(ways: dict[str, Proxy]) -> None:
    """End every connection, and have each proxy do its worst with those to come."""
    for proxy, manner in zip(ways.values(), MANNERS, strict=True):
        proxy.manner = manner
        proxy.cut()


def mend(ways: dict[str, Proxy]) -> None:
    """End every connection, and have all proxies forward those to come."""
    for proxy in ways.values():
        proxy.manner = None
        proxy.cut()


@pytest.mark.slow
@pytest.mark.parametrize("from_the_start", [True, False])
async def test_proxies(server: Cluster, cluster: Cluster, *, from_the_start: bool) -> None:
    """Whatever is in front of a server and whatever it says is a failed poll, and no more."""
    async with proxies(server) as ways:
        if from_the_start:
            spoil(ways)
        async with recorded(through(server, ways), server, cluster) as record:
            if not from_the_start:
                await record.up()
            with record.fault():
                spoil(ways)
                for name in ways:
                    await record.failed(name, times=2)
                await record.down()
                mend(ways)
            await record.up()
    for name in ways:
        record.goes_down(name, RETRY)
        record.comes_back(name)


@pytest.mark.slow
@pytest.mark.parametrize("wholly", [True, False])
async def test_proxy_freezes(server: Cluster, cluster: Cluster, *, wholly: bool) -> None:
    """A proxy that heals for new connections alone does not hold us up: we don't wait for ever."""
    async with Proxy(server.port) as proxy:
        dsn = server.dsn(user=MONITOR, port=str(proxy.port))
        async with recorded({"demo": dsn}, server, cluster) as record:
            await record.up()
            with record.fault():
                proxy.freeze()
                await record.down()
                await record.failed("demo", "timeout", times=2)
                proxy.renew()
                if wholly:
                    proxy.thaw()
            await record.up()
            proxy.thaw()
    record.goes_down("demo")
    record.comes_back("demo", within=RETRY if wholly else LOST)


# --- Servers that let nobody in yet


async def turns_away(server: Cluster, record: Recording, words: str, written: int) -> None:
    """Wait until a server says that it starts, in its log from there on; it turns us away then."""

    async def look() -> bool:
        return words in server.log_text()[written:]

    await eventually(look)
    before = record.newest
    refused = before.refusals("demo", sqlstate="57P03")
    await record.until(lambda g: g.refusals("demo", sqlstate="57P03") > refused)
    await record.failed(
        "demo", "refused", times=int(before.errors("demo", "activity", "refused")) + 1
    )


async def test_server_starts_up(server: Cluster, cluster: Cluster) -> None:
    """A server that is starting up turns everybody away, and the probe tells its SQLSTATE."""
    gate = server.folder / "gate"
    server.configure({"restore_command": f"while [ ! -e {gate} ]; do sleep 0.02; done; false"})
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.up()
        with record.fault():
            await asyncio.to_thread(server.stop)
            written = len(server.log_text())
            (server.data / "recovery.signal").touch()
            starting = asyncio.ensure_future(asyncio.to_thread(server.start))
            await turns_away(server, record, "database system was shut down", written)
            record.mending()
            gate.touch()
            await starting
        await record.up()
    record.goes_down("demo")
    record.comes_back("demo")


@pytest.mark.slow
async def test_standby_that_is_not_hot(new_cluster: NewCluster, cluster: Cluster) -> None:
    """A standby that lets nobody in is down; one that does is watched as any server is."""
    server = new_cluster(hot_standby="off")
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.up()
        with record.fault():
            await asyncio.to_thread(server.stop)
            written = len(server.log_text())
            (server.data / "standby.signal").touch()
            starting = asyncio.ensure_future(asyncio.to_thread(server.start))
            await turns_away(server, record, "entering standby mode", written)
            record.mending()
            (server.data / "promote").touch()
            os.kill(server.pid, signal.SIGUSR1)
            await starting
        await record.up()
    record.goes_down("demo")
    record.comes_back("demo")


# --- Logins and queries that hang inside of the server


@asynccontextmanager
async def locked(server: Cluster, table: LiteralString) -> AsyncIterator[Stage]:
    """Hold the strongest lock on a catalog, as VACUUM FULL does."""
    async with Stage(server) as stage:
        await stage.execute("BEGIN")
        await stage.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        try:
            yield stage
        finally:
            await stage.execute("ROLLBACK")


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
async def test_login_hangs(server: Cluster, cluster: Cluster, *, kept: bool) -> None:
    """Where no login comes to its end only as many of ours hang as we try one after the other."""
    dsn = server.dsn(user=MONITOR)
    async with recorded({"demo": dsn}, server, cluster, kept=kept) as record:
        await record.up()
        before = await record.settled()
        async with locked(server, "pg_authid") as stage:
            with record.fault():
                if not kept:
                    await stage.fetch("SELECT pg_terminate_backend(%s)", list(before))
                await record.down()
                most = await most_sessions(server, 2 * LOGIN_SECONDS)
                await stage.execute("ROLLBACK")
        await record.up()
        assert kept == (set(await record.settled()) == set(before))
    # Of each probe, and of each attempt to connect, one at a time; each hangs until the timeout.
    at_once = LOGIN_SECONDS / DEADLINE + 1
    assert most <= (1 + at_once if kept else 2 * at_once)
    record.comes_back("demo")


async def most_sessions(server: Cluster, seconds: float) -> int:
    """Give the highest number of sessions that the server has for some time."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        most = max(most, len(sessions(server)))
        await asyncio.sleep(INTERVAL)
    log.info("at most %d sessions at once", most)
    return most


@pytest.mark.slow
async def test_query_hangs_on_a_lock(server: Cluster, cluster: Cluster) -> None:
    """A read that waits for a lock fails alone: the connection stays, and the sessions fresh."""
    async with recorded({"demo": server.dsn(user=MONITOR)}, server, cluster) as record:
        await record.until(lambda g: STATEMENTS in g.of_server("demo"))
        before = await record.settled()
        with record.fault():
            async with locked(server, "pg_extension"):
                await record.failed("demo", "timeout", collector="statements", times=2)
                assert STATEMENTS not in record.newest.of_server("demo")
        await record.until(lambda g: STATEMENTS in g.of_server("demo"))
        assert set(await record.settled()) == set(before)
    record.stays_up("demo")
    record.stays_fresh("demo")


STATEMENTS = "pgconn_statement_calls_total"
