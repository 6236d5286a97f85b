"""Names that do not resolve, hang or change, and connection strings that lead to several places."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import psycopg
import pytest

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.nameservers import NameServer, Trouble, asking, name_server
from tests.integration.networks import needs_root
from tests.integration.processes import Running, daemon
from tests.integration.staging import MONITOR, TURN
from tests.integration.watching import (
    POLLS,
    Scrape,
    Target,
    Watch,
    config_text,
)

# What a version of the server cannot change.
pytestmark = pytest.mark.slow

INTERVAL = 0.2
DEADLINE = 0.5
LEEWAY = 3.0  # seconds that a busy machine may add; a look-up that is waited for takes 30
ERRORS = "pgconn_poll_errors_total"
FAST = {"activity": "200ms", "probe": "300ms", "settings": "1s"}


@asynccontextmanager
async def exporter(
    targets: Mapping[str, Target], names: NameServer, folder: Path, **environ: str
) -> AsyncIterator[tuple[Running, Watch]]:
    """Run the exporter as a process that asks this name server."""
    file = folder / "config.yaml"
    file.write_text(config_text(targets, intervals=FAST, query_timeout=f"{DEADLINE * 1000:g}ms"))
    wrapper = asking(names, folder)
    async with (
        daemon("--config.file", str(file), wrapper=wrapper, environ=environ) as running,
        aiohttp.ClientSession() as session,
    ):
        yield running, Watch(running.url, session)


def errors(scrape: Scrape, target: str, reason: str) -> float:
    """Give how often an activity poll of a target failed for a reason."""
    labels = {"target": target, "collector": "activity", "reason": reason}
    return scrape.value(ERRORS, **labels) or 0.0


def up(scrape: Scrape, target: str = "demo") -> bool:
    """Tell whether a target is shown as up."""
    return scrape.value("pgconn_up", target=target) == 1


@needs_root
async def test_a_name_that_does_not_resolve(cluster: Cluster, tmp_path: Path) -> None:
    """It is refused, or a timeout where nobody answers, until the name is there."""
    targets = {name: cluster.dsn(user=MONITOR, host=f"{name}.test") for name in ("demo", "other")}
    async with (
        name_server({"other.test": Trouble.SERVFAIL}) as names,
        exporter(targets, names, tmp_path) as (running, watch),
    ):
        expected = {
            "'demo.test': Name or service not known",
            "'other.test': Temporary failure in name resolution",
        }
        while expected:
            line = await running.logged("reason=refused")
            expected = {words for words in expected if words not in line}
        assert not up(await watch.scrape())
        names.say("demo.test", Trouble.SILENT)
        line = await running.logged(f"no address of host 'demo.test' within {DEADLINE:g} s")
        assert "reason=timeout" in line
        names.say("demo.test", "127.0.0.1")
        # At the next attempt; a busy machine may make one or two of them too late.
        await watch.until(up, 3 * (1 + INTERVAL + DEADLINE))
        await running.logged("event=connected")


PROBE = "pgconn_probe_success"
PACE = 0.4  # of the polls that there is time for: a single dead name would cost more
DEAD = tuple(f"dead{number}.test" for number in range(40))


def hopeless(scrape: Scrape, times: int) -> bool:
    """Tell whether every dead name was waited for so many times."""
    return all(errors(scrape, name, "timeout") >= times for name in (*DEAD, "service"))


@needs_root
async def test_a_name_server_that_is_silent(cluster: Cluster, tmp_path: Path) -> None:
    """Many names for which nobody answers keep no other target, no scrape and no end waiting."""
    service = tmp_path / "pg_service.conf"
    service.write_text("[hangs]\nhost=service.test\n")
    dsns = {name: f"postgresql://{MONITOR}@{name}:1/postgres" for name in DEAD}
    dsns["service"] = "service=hangs"
    slowly = {"activity": "1s", "probe": "30s"}
    targets: dict[str, Target] = {n: {"dsn": d, "intervals": slowly} for n, d in dsns.items()}
    # Its own deadline is not what this is about, and a busy machine would break it.
    targets["good"] = {"dsn": cluster.dsn(user=MONITOR, host="good.test"), "query_timeout": "5s"}
    async with (
        name_server({"good.test": "127.0.0.1"}, otherwise=Trouble.SILENT) as names,
        exporter(targets, names, tmp_path, PGSERVICEFILE=str(service)) as (running, watch),
    ):
        await watch.until(lambda s: hopeless(s, 1) and s.value(PROBE, target="good"))
        started, first = time.monotonic(), await watch.scrape()
        took = []
        while not hopeless(last := await watch.scrape(), 3):
            began = time.monotonic()
            _, page = await watch.get()
            took.append(time.monotonic() - began)
            assert f'{PROBE}{{target="good"}} 1\n' in page
            await asyncio.sleep(TURN)
        assert sorted(took)[len(took) // 2] < 0.05
        # The other target misses no poll, and no client of its is said to be turned away.
        polls = [s.value(POLLS, target="good", collector="activity") or 0 for s in (first, last)]
        assert polls[1] - polls[0] >= PACE * (time.monotonic() - started) / INTERVAL
        assert last.all(ERRORS, target="good") == {}
        assert sum(last.all("pgconn_probe_failures_total", target="good").values()) == 0
        # However often each is tried, one look-up is under way: a question for A, one for AAAA.
        assert {names.asked[name] for name in (*DEAD, "service.test")} == {2}
        assert psutil.Process(running.process.pid).num_threads() < len(DEAD) + 10
        began = time.monotonic()
        running.process.terminate()
        assert await running.process.wait() == 0
        assert time.monotonic() - began < 2 + LEEWAY
        assert "Traceback" not in await running.rest()


@needs_root
async def test_a_name_that_moves(new_cluster: NewCluster, tmp_path: Path) -> None:
    """Where a name leads to another server, we go there as soon as the first one ends."""
    first = new_cluster(listen_addresses="127.0.0.41")
    second = new_cluster(port=first.port, listen_addresses="127.0.0.42")
    targets = {"demo": first.dsn(user=MONITOR, host="pg.test")}
    async with (
        name_server({"pg.test": "127.0.0.41"}) as names,
        exporter(targets, names, tmp_path) as (running, watch),
    ):
        starts = [pytest.approx(started_at(server), abs=0.01) for server in (first, second)]
        await watch.until(lambda s: s.value(STARTED) == starts[0])
        names.say("pg.test", "127.0.0.42")
        first.stop()
        await watch.until(lambda s: up(s) and s.value(STARTED) == starts[1])
        for event in ("event=connected", "poll failed", "event=connected"):
            await running.logged(event)


STARTED = "pgconn_postmaster_start_time_seconds"


def started_at(server: Cluster) -> float:
    """Give the time at which a server was started, in seconds since the epoch."""
    with psycopg.connect(server.socket_dsn()) as session:
        cursor = session.execute("SELECT extract(epoch FROM pg_postmaster_start_time())")
        [(seconds,)] = cursor.fetchall()
    return float(seconds)
