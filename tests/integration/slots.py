"""A server whose slots are all taken, who asks for them, and what the exporter shows meanwhile."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from psycopg import OperationalError
from structlog.testing import capture_logs

from exporter.demo.binaries import version_text
from exporter.demo.cluster import Cluster
from tests.integration.backends import serving
from tests.integration.conftest import bin_dir
from tests.integration.staging import (
    APP,
    MONITOR,
    PATIENCE,
    Client,
    Session,
    Stage,
    eventually,
)
from tests.integration.watching import LAST, Scrape, Watch

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
LEEWAY: Final = 1.5
CAUGHT: Final = 5.0  # seconds within which a slot that is free for FREE_FOR is ours
FREE_FOR: Final = 0.2
AT_ONCE: Final = 0.8  # seconds: to connect anew in the same poll, and not in the next one
SPARE_SECONDS: Final = 1.0  # between two attempts to open a spare
GLANCE: Final = 0.07  # seconds for one of `glances`

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
REFUSED: Final = re.compile(
    r"^(\S+ \S+) .*FATAL:  (?:remaining connection slots|sorry, too many clients)", re.MULTILINE
)


def target(server: Cluster, **keys: object) -> dict[str, object]:
    """Give a target whose probe is told from the sessions that are kept."""
    probe = {"dsn": server.dsn(user=MONITOR, application_name="probe")}
    return {"dsn": server.dsn(user=MONITOR), "probe": probe} | keys


async def fill(stage: Stage, client: Client = APP) -> list[Session]:
    """Take every slot that a client may take, those of a probe that is just in, too."""
    # There before the others, lest it takes of the reserve.
    [(administrator,)] = await stage.fetch("SELECT pg_backend_pid()")
    taken, refused = [], 0
    while refused < 2:
        try:
            taken.append(await stage.connect(client))
        except OperationalError:
            refused += 1
            await nobody_passes(stage, administrator)
        else:
            refused = 0
    return taken


async def nobody_passes(stage: Stage, administrator: int) -> None:
    """Wait until nobody has a slot for a moment: who logs in, was turned away, or has just left."""

    async def look() -> bool:
        staying = {s.pid for s in stage.sessions if not s.connection.closed}
        staying.update(await own(stage), [administrator])
        passing = serving(stage.cluster).keys() - staying
        assert not passing, passing
        return True

    await eventually(look)


def refusals(server: Cluster) -> list[float]:
    """Give when the server turned somebody away for want of a slot (seconds since the epoch)."""
    return [datetime.fromisoformat(at).timestamp() for at in REFUSED.findall(server.log_text())]


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
    """Scrape for some time, and as often when we stood still meanwhile."""
    found = []
    for _ in range(round(seconds / GLANCE)):
        scrape = await watch.scrape()
        found.append(Glance(time.time(), scrape))
        await asyncio.sleep(0.05)
    return found


def without_a_gap(seen: Sequence[Glance]) -> None:
    """Require that the picture was there and fresh in every scrape, and that no counter fell."""
    assert all(up(scrape) for _, scrape in seen)
    assert max(glance.age for glance in seen) < INTERVAL + LEEWAY
    polls = {scrape.value(LAST, collector="activity") for _, scrape in seen}
    assert len(polls) > 0.25 * len(seen) * GLANCE / INTERVAL
    for (_, before), (_, after) in pairwise(seen):
        for name in ("pgconn_slots_used", "pgconn_slots_max", "pgconn_server_info"):
            assert after.all(name), name
        counters = {key: v for key, v in before.samples.items() if key[0].endswith("_total")}
        lost = {key for key, value in counters.items() if after.samples.get(key, -1) < value}
        assert lost == set()


def gap(seen: Sequence[Glance]) -> float:
    """Give for how long at a time a target was not up, at most."""
    longest, since = 0.0, None
    for at, scrape in seen:
        since = None if up(scrape) else since or at
        longest = max(longest, at - (since or at))
    return longest
