"""Nobody is accused who is not to blame: no orphan and no root blocker but the true ones."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from exporter.demo.cluster import Cluster
from tests.integration.harmless import HARMLESS, SETTINGS, Ground, pgbench_process
from tests.integration.pgbouncer import PgBouncer
from tests.integration.replicas import primary, standby
from tests.integration.staging import MONITOR, TURN, Client, Stage
from tests.integration.watching import Watch, watching
from tools import pgbench

ORPHANED: Final = "pgconn_orphaned_connections"
ROOTS: Final = "pgconn_root_blockers"
TARGETS: Final = ("demo", "standby")
ACCUSING: Final = (f"{ORPHANED}{{", f"{ROOTS}{{")
POLLS: Final = re.compile(
    r'^pgconn_poll_duration_seconds_count{target="(?:demo|standby)",collector="activity"} (\d+)',
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Cluster, Cluster, PgBouncer]]:
    """Run a primary on which everything goes on that can, its standby, and a PgBouncer."""
    with (
        primary(autovacuum_naptime="1s") as server,
        standby(server) as copy,
        PgBouncer(server, {}) as pool,
    ):
        command = [str(pgbench.fetch()), "-i", "-q", server.dsn(dbname="shop")]
        subprocess.run(command, check=True, capture_output=True)
        yield server, copy, pool


@pytest.fixture
async def ground(servers: tuple[Cluster, Cluster, PgBouncer]) -> AsyncIterator[Ground]:
    """Give where to stage a situation."""
    server, copy, pool = servers
    async with Stage(server) as stage, Stage(copy) as there:
        yield Ground(stage, there, pool)


@asynccontextmanager
async def watched(ground: Ground) -> AsyncIterator[Watch]:
    """Watch everything, and more often than one would."""
    servers = {"demo": ground.stage.cluster, "standby": ground.standby.cluster}
    targets = {name: {"dsn": server.dsn(user=MONITOR)} for name, server in servers.items()}
    pool = ground.pool.target(server="demo")
    intervals = {"activity": "100ms", "settings": "1s", "databases": "1s"}
    async with watching(targets | {"pool": pool}, intervals=intervals, **SETTINGS) as watch:
        yield watch


async def accusations(watch: Watch, polls: int) -> AsyncIterator[list[str]]:
    """Give the series that accuse somebody, again and again until each server was read so often.

    The page is not parsed: that takes more of this machine than all the polls.
    """
    while True:
        _, page = await watch.get()
        yield [line for line in page.splitlines() if line.startswith(ACCUSING)]
        done = [int(count) for count in POLLS.findall(page)]
        if len(done) == len(TARGETS) and min(done) >= polls:
            return
        await asyncio.sleep(TURN)


async def in_working_order(watch: Watch) -> bool:
    """Tell whether everything was read that could accuse somebody."""
    scrape = await watch.scrape()
    return all(
        scrape.value(name, target=target) == 1
        for name in ("pgconn_up", "pgconn_tcp_table_usable")
        for target in TARGETS
    ) and not scrape.all("pgconn_poll_errors_total")


@pytest.mark.parametrize("name", HARMLESS)
async def test_nobody_is_accused(ground: Ground, name: str) -> None:
    """In a harmless situation there is neither an orphan nor a root blocker."""
    async with HARMLESS[name](ground), watched(ground) as watch:
        async for accused in accusations(watch, 6):
            assert accused == []
        assert await in_working_order(watch)


@pytest.mark.parametrize("arguments", [["--rate=500"], ["--rate=100", "--connect"]])
async def test_pgbench_writes(ground: Ground, arguments: list[str]) -> None:
    """Clients that write the same rows do wait for one another, but none is an orphan."""
    with pgbench_process(ground.stage, *arguments):
        async with watched(ground) as watch:
            async for accused in accusations(watch, 15):
                assert [line for line in accused if not is_true_of_pgbench(line)] == []
            assert await in_working_order(watch)


LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
# Autovacuum locks a small table for a moment to shorten it, and is rightly told then.
IN_THE_WAY: Final = {("client", "pgbench"), ("client", "autovacuum worker")}


def is_true_of_pgbench(line: str) -> bool:
    """Tell whether a series is of a root blocker in whose way pgbench's clients can be."""
    labels = set(LABEL.findall(line))
    return line.startswith(ROOTS) and ("target", "demo") in labels and bool(labels & IN_THE_WAY)


async def test_short_wait(ground: Ground) -> None:
    """Whoever is waited for is a root as long as that lasts, and only the true one."""
    stage, holder = ground.stage, Client("deploy", "api", "127.0.0.53")  # may be idle afterwards
    async with watched(ground) as watch:
        pile = await stage.pile_up(2, holder, Client("app", "api"))
        scrape = await watch.after_poll()
        [labels] = scrape.all(ROOTS)
        assert dict(labels)["client_addr"] == holder.client_addr
        assert scrape.table(ROOTS, "target", "usename", "state") == {
            ("demo", "deploy", "idle in transaction"): 1
        }
        await pile.holder.run("COMMIT")
        await pile.waiters[0].finish()
        await pile.waiters[1].finish()
        scrape = await watch.after_poll()
        assert scrape.all(ROOTS) == {}
        assert scrape.all(ORPHANED) == {}
