"""What is measured: at rest, where nothing happens but polls and one scraper."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from statistics import median
from time import monotonic
from typing import Final

import psutil

from tests.integration.staging import eventually
from tests.integration.watching import Scrape, Watch
from tests.soak import clients
from tests.soak.world import POOLER, SHAKEN, STEADY, World

MEGABYTE: Final = 1e6
PASSING: Final = ("tasks", "threads")
UNSTEADY: Final = ("#", "pgconn_statement_", "pgconn_session_seconds_total")
LOOK_SECONDS: Final = 0.15
SETTLED_SECONDS: Final = 3.0  # longer than any interval but that of the settings, and than peaks
RECOVERY_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the exporter holds at one moment, or at rest.

    used: what is resident, but for what malloc keeps for later, in megabytes.
    rss: what is resident, in megabytes.
    blocks: the objects that Python has in memory, in thousands.
    descriptors, tasks, threads: as the kernel and the exporter itself count them.
    sessions: those of our role, on both servers.
    series: on the page, but for those of statements and wait events, of which new ones are met all
        the time, up to max_series.
    """

    used: float
    rss: float
    blocks: float
    descriptors: float
    tasks: float
    threads: float
    sessions: float
    series: float


@dataclass(frozen=True, slots=True)
class Rest:
    """What the exporter holds at rest, and the last scrape of it."""

    gauges: Gauges
    scrape: Scrape


def at_rest(readings: Sequence[Gauges]) -> Gauges:
    """Give the median of each, but of tasks and threads the least: some polls are under way.

    The least of the others could be that of a moment when a busy machine cost us a connection.
    """
    middle = {
        field.name: median(getattr(reading, field.name) for reading in readings)
        for field in fields(Gauges)
    }
    passing = {name: min(getattr(reading, name) for reading in readings) for name in PASSING}
    return Gauges(**(middle | passing))


def rss(pid: int) -> float:
    """Give the megabytes that a process has in memory."""
    return float(psutil.Process(pid).memory_info().rss) / MEGABYTE


async def look(world: World, watch: Watch) -> Gauges:
    """Look at the exporter from all sides."""
    counts = await world.subject.counts()
    process = psutil.Process(world.subject.pid)
    resident = rss(world.subject.pid)
    sessions = [len(await clients.own_backends(server)) for server in world.servers]
    text = (await watch.scrape()).text
    return Gauges(
        used=resident - counts["free"] / MEGABYTE,
        rss=resident,
        blocks=counts["blocks"] / 1000,
        descriptors=process.num_fds(),
        tasks=counts["tasks"],
        threads=counts["threads"],
        sessions=sum(sessions),
        series=sum(not line.startswith(UNSTEADY) for line in text.splitlines()),
    )


async def rest(world: World, watch: Watch, seconds: float) -> Rest:
    """Wait until all is well and quiet, and look for a while."""
    await settle(world, watch)
    readings = []
    end = monotonic() + seconds
    while monotonic() < end:
        readings.append(await look(world, watch))
        await asyncio.sleep(LOOK_SECONDS)
    return Rest(at_rest(readings), await watch.scrape())


async def settle(world: World, watch: Watch) -> None:
    """Bring everything into the state in which it was at each other rest."""
    for server in world.servers:
        await clients.tidy(server)
    await world.pooler.disconnect()
    world.pooler.kill()  # with it go the sessions that it keeps
    await asyncio.to_thread(world.pooler.start)
    for server in world.servers:
        await eventually(partial(clients.none_left, server))
    await watch.until(lambda scrape: all_up(scrape, (*STEADY, *SHAKEN, POOLER)), RECOVERY_SECONDS)
    await asyncio.sleep(SETTLED_SECONDS)


def all_up(scrape: Scrape, targets: Iterable[str]) -> bool:
    """Tell whether all of some targets are up."""
    return all(scrape.value("pgconn_up", target=target) == 1 for target in targets)
