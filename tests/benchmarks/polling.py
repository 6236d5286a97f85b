"""What the daemon's polling costs the server and ourselves, by number of sessions.

    python -m tests.benchmarks.polling [--quick]

A real server, real sessions, and the real daemon in a process of its own, at its defaults:
every read of a target is polled, and nobody scrapes. The server's figure is the processor time
of the one backend that serves us.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp
import psycopg

from exporter.demo.cluster import Cluster
from tests.benchmarks.crowd import Crowd, server
from tests.benchmarks.harness import cpu_seconds, machine, options, resident, show, tell
from tests.integration.processes import daemon
from tests.integration.staging import MONITOR
from tests.integration.watching import Scrape

COLUMNS = (
    "sessions",
    "interval",
    "polls",
    "backend: ms a poll",
    "% of a core",
    "daemon: ms a poll",
    "% of a core",
    "RSS MB",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many sessions there are in turn, and how long each crowd is watched. In seconds."""

    sizes: Sequence[int]
    with_tcp_table: int
    waiters: int
    warm_up: float
    slices: int
    slice_seconds: float


FULL = Plan((1, 100, 1000, 5000), 1000, 1000, warm_up=8, slices=6, slice_seconds=5)
QUICK = Plan((100, 1000), 100, 0, warm_up=2, slices=3, slice_seconds=2)


@dataclass(frozen=True, slots=True)
class Reading:
    """How far everything has come. Times in seconds."""

    at: float
    polls: float
    backend: float
    daemon: float


class Subject:
    """The daemon that is looked at, and its backend."""

    def __init__(self, cluster: Cluster, url: str, pid: int, http: aiohttp.ClientSession) -> None:
        self.url, self._pid, self._http = url, pid, http
        self._scraping = 0.0
        query = """SELECT pid FROM pg_stat_activity WHERE application_name = 'pgconn-exporter'
            ORDER BY backend_start LIMIT 1"""
        with psycopg.connect(cluster.socket_dsn()) as admin:
            [(self._backend,)] = admin.execute(query)

    async def scrape(self) -> Scrape:
        """Look at the daemon's own metrics; what that costs it is not counted."""
        before = cpu_seconds(self._pid)
        async with self._http.get(f"{self.url}/metrics") as response:
            text = await response.text()
        self._scraping += cpu_seconds(self._pid) - before
        return Scrape(text)

    async def read(self) -> Reading:
        """Look how far everything has come."""
        at, backend, own = time.monotonic(), cpu_seconds(self._backend), cpu_seconds(self._pid)
        own -= self._scraping
        scrape = await self.scrape()
        polls = scrape.value("pgconn_poll_duration_seconds_count", collector="activity")
        assert polls is not None
        return Reading(at, polls, backend, own)

    async def watch(self, plan: Plan, name: str) -> tuple[str, ...]:
        """Watch it for a while, and give the row of the table."""
        await asyncio.sleep(plan.warm_up)
        readings = [await self.read()]
        for _ in range(plan.slices):
            # Where it is stretched, each slice has a poll all the same.
            await asyncio.sleep(max(plan.slice_seconds, 1.2 * await self.interval()))
            readings.append(await self.read())
        interval = await self.interval()
        return (name, f"{interval:.2f} s", *figures(readings), f"{resident(self._pid):.0f}")

    async def interval(self) -> float:
        """Give the interval of the activity read that is in force."""
        scrape = await self.scrape()
        return scrape.value("pgconn_poll_interval_seconds", collector="activity") or 0.0


def figures(readings: Sequence[Reading]) -> tuple[str, ...]:
    """Give polls, and for each process the median cost of a poll and the share of a core.

    The share is of the whole time, with whatever was done besides.
    """
    first, last = readings[0], readings[-1]
    pairs = list(pairwise(readings))
    wall = last.at - first.at
    backend = [(b.backend - a.backend) / max(1, b.polls - a.polls) for a, b in pairs]
    own = [(b.daemon - a.daemon) / max(1, b.polls - a.polls) for a, b in pairs]
    return (
        f"{last.polls - first.polls:.0f}",
        f"{1000 * median(backend):.2f}",
        f"{100 * (last.backend - first.backend) / wall:.2f}",
        f"{1000 * median(own):.2f}",
        f"{100 * (last.daemon - first.daemon) / wall:.2f}",
    )


@asynccontextmanager
async def watching(
    cluster: Cluster, targets: int = 1, *, proc: bool = False
) -> AsyncIterator[Subject]:
    """Run the daemon at its defaults against a server, under one name or many."""
    keys = {"dsn": cluster.dsn(user=MONITOR), "proc": proc}
    document = {"targets": [{"name": f"main{n}"} | keys for n in range(targets)]}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(document))
        arguments = ("--config.file", str(file), "--web.listen-address", "127.0.0.1:0")
        async with daemon(*arguments) as running, aiohttp.ClientSession() as http:
            await running.logged("event=connected")
            yield Subject(cluster, running.url, running.process.pid, http)


async def measure(plan: Plan) -> None:
    """Watch each crowd in turn."""
    rows = []
    with server(max(plan.sizes)) as cluster:
        crowd = Crowd(cluster)
        for size in plan.sizes:
            crowd.grow(size)
            tell(f"{size} sessions: {crowd.states()}")
            async with watching(cluster) as subject:
                rows.append(await subject.watch(plan, f"{size}"))
            if size == plan.with_tcp_table:
                # Some run a query from one poll to the next, so that it is read each time.
                async with watching(cluster, proc=True) as subject:
                    rows.append(await subject.watch(plan, f"{size}, TCP table"))
        if plan.waiters:
            await crowd.disperse()
            crowd = Crowd(cluster)
            crowd.grow(plan.waiters, all_wait=True)
            tell(f"behind one lock: {crowd.states()}")
            async with watching(cluster) as subject:
                rows.append(await subject.watch(plan, f"{plan.waiters}, one lock"))
        await crowd.disperse()
    show("Polling, all reads at the default intervals", COLUMNS, rows)


def main() -> None:
    """Measure, and print."""
    arguments = options(__doc__).parse_args()
    tell(machine())
    asyncio.run(measure(QUICK if arguments.quick else FULL))


if __name__ == "__main__":
    main()
