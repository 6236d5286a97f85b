"""Ways in of every kind: several places, service files, and attempts that end half way."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.cluster import Cluster
from exporter.server.access import Access, Link, open_link
from exporter.server.errors import PollError, PollTimeoutError
from tests.integration.backends import serving, stopped
from tests.integration.conftest import NewCluster
from tests.integration.proxies import MANNERS, Proxy, never_answers
from tests.integration.staging import MONITOR, PATIENCE, Stage, eventually

DEADLINE = 1.0
SLOW = 3.0  # of which a half is the share of each of two places


def places(*ports: int, **more: str) -> Access:
    """Give the way to one of several ports of this machine."""
    given = {"host": ",".join(["127.0.0.1"] * len(ports)), "port": ",".join(map(str, ports))}
    given |= {"user": MONITOR, "dbname": "postgres"} | more
    return Access(" ".join(f"{key}={value}" for key, value in given.items()))


async def test_a_dead_place_does_not_keep_us_from_the_next(cluster: Cluster) -> None:
    """An address that swallows everything costs its share of the deadline, not all of it."""
    async with Proxy(cluster.port) as proxy:
        await proxy.plug()
        link = await open_link(places(proxy.port, cluster.port), SLOW)
        assert link.info.port == cluster.port
        await link.close()


@pytest.mark.slow
async def test_a_slow_place_is_not_given_up(cluster: Cluster) -> None:
    """A server that answers late, but in time, is ours, though the next was tried meanwhile."""
    async with Proxy(cluster.port, never_answers) as proxy:
        with stopped(cluster.pid):
            opening = asyncio.ensure_future(open_link(places(cluster.port, proxy.port), SLOW))
            await asyncio.sleep(0.6 * SLOW)
        link = await opening
        assert link.info.port == cluster.port
        await link.close()


async def test_every_place_fails(cluster: Cluster) -> None:
    """What went wrong at each of them is told, and the time that it may take stands."""
    async with Proxy(cluster.port, never_answers) as proxy:
        started = time.monotonic()
        with pytest.raises(PollTimeoutError, match=r"Connection refused.*no connection within 0.5"):
            await open_link(places(1, proxy.port, proxy.port), 0.5)
        assert time.monotonic() - started < PATIENCE / 2


async def test_the_wanted_kind_of_server(cluster: Cluster) -> None:
    """A primary is taken where no standby is there, and no standby where one must be there."""
    access = places(1, cluster.port, target_session_attrs="prefer-standby")
    link = await open_link(access, PATIENCE)
    await link.close()
    if cluster.version >= 14:  # before, the server does not tell, and libpq has to ask
        with pytest.raises(PollError, match="not in hot standby mode"):
            await open_link(places(cluster.port, target_session_attrs="standby"), PATIENCE)


async def test_service_file(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service file says where to go, by name or by socket, whatever the environment says."""
    file = tmp_path / "pg_service.conf"
    file.write_text(
        f"[name]\nhost=localhost\nport={cluster.port}\nuser={MONITOR}\ndbname=postgres\n"
        f"[socket]\nhost={cluster.folder}\nport={cluster.port}\nuser={MONITOR}\ndbname=postgres\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    for service, host in (("name", "localhost"), ("socket", str(cluster.folder))):
        link = await open_link(Access(f"service={service}"), PATIENCE)
        assert link.info.host == host
        await link.close()
    with pytest.raises(PollError, match='definition of service "none" not found'):
        await open_link(Access("service=none"), DEADLINE)


# --- Attempts that end half way

ATTEMPTS = 8  # of each kind, of which half are cancelled
TICK = 0.05


async def tried(opening: Awaitable[Link]) -> None:
    """Try to connect; let go of what came of it."""
    try:
        link = await opening
    except PollError:
        return
    await link.close()


def descriptors() -> int:
    """Count our file descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def half_way(access: Access) -> None:
    """Have attempts run into their deadline, and others cancelled meanwhile."""
    running = [asyncio.ensure_future(tried(open_link(access, 2 * TICK))) for _ in range(ATTEMPTS)]
    await asyncio.sleep(TICK)
    for task in running[::2]:
        task.cancel()
    await asyncio.wait(running, timeout=10 * DEADLINE)
    assert all(task.done() for task in running)


@pytest.mark.slow
async def test_no_descriptor_is_left(cluster: Cluster) -> None:
    """However far an attempt came when it ended, none of our file descriptors stays open."""
    await tried(open_link(places(cluster.port), DEADLINE))
    before = descriptors()
    for manner in MANNERS:
        async with Proxy(cluster.port, manner) as proxy:
            for sslmode in ("disable", "prefer"):
                access = places(proxy.port, password="secret", sslmode=sslmode)
                await half_way(access)
    async with Proxy(cluster.port) as proxy:
        await proxy.plug()
        await half_way(places(proxy.port))
    await eventually(lambda: become(lambda: descriptors() <= before))


async def test_no_session_is_left(new_cluster: NewCluster) -> None:
    """An attempt that is ended at any moment leaves neither a session nor a descriptor."""
    server = new_cluster()
    server.write_hba(["host all all 127.0.0.1/32 scram-sha-256"])
    access = places(server.port, password="secret")
    async with Stage(server) as stage:
        await stage.fetch("SELECT 1")
        started = time.monotonic()
        await tried(open_link(access, DEADLINE))
        full, before = time.monotonic() - started, descriptors()
        for step in range(100):
            await cancelled(tried(open_link(access, DEADLINE)), 1.2 * full * step / 100)
        await eventually(lambda: become(lambda: descriptors() <= before))
        await eventually(lambda: become(lambda: len(serving(server)) == 1))


async def cancelled(work: Coroutine[Any, Any, None], seconds: float) -> None:
    """Cancel something after some time, and forget it."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait({task})


async def become(look: Callable[[], bool]) -> bool:
    """Look."""
    return look()
