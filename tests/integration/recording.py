"""Record what a daemon shows through a fault, and hold it to what the exporter promises."""

import asyncio
import contextlib
import itertools
import logging
import re
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, NamedTuple

from structlog.testing import capture_logs

from exporter.collectors import ACTIVITY
from exporter.demo.cluster import Cluster
from tests.integration.backends import sessions
from tests.integration.staging import MONITOR, PATIENCE, TURN, eventually
from tests.integration.watching import Target, Watch, watching

INTERVAL: Final = 0.2
DEADLINE: Final = 1.0
INTERVALS: Final = {
    "activity": f"{INTERVAL * 1000:.0f}ms",
    "probe": "300ms",
    "databases": "1s",
    "settings": "1s",
    "statements": "1s",
}
# Connecting is tried no more often than that (exporter/connector.py).
RETRY: Final = 1.0
# What a busy machine may add to any time that is promised: what is wrong takes far longer.
LEEWAY: Final = 1.0

# Half of the scrapes; all but one must not have waited for a server. 50 ms are promised of a
# machine on which not three workers run tests.
FAST: Final = 0.15
PACE: Final = 0.75  # of the polls that there is time for
GOOD: Final = "good"
"""The name of the target to which nothing happens."""

OF_ACTIVITY: Final = {metric.name for collector in ACTIVITY for metric in collector.metrics}
_OURS: Final = ("pgconn_up", "pgconn_poll_", "pgconn_probe_")

log = logging.getLogger(__name__)


class Glance(NamedTuple):
    """One scrape: when it began (monotonic clock), how long the answer took, and what it said."""

    began: float
    seconds: float
    page: str

    def value(self, series: str) -> float | None:
        """Give the value of a series that is written like this; one scan, no parser."""
        found = re.search(rf"^{re.escape(series)} (\S+)$", self.page, re.MULTILINE)
        return None if found is None else float(found[1])

    def up(self, target: str) -> bool:
        """Tell whether a target is shown as up."""
        value = self.value(f'pgconn_up{{target="{target}"}}')
        assert value is not None, "pgconn_up is always there"
        return value == 1

    def polls(self, target: str, collector: str = "activity") -> float:
        """Count the polls of a target."""
        name = "pgconn_poll_duration_seconds_count"
        return self.value(f'{name}{{target="{target}",collector="{collector}"}}') or 0.0

    def last_success(self, target: str) -> float | None:
        """Give when an activity poll of a target last succeeded."""
        name = "pgconn_poll_last_success_timestamp_seconds"
        return self.value(f'{name}{{target="{target}",collector="activity"}}')

    def probe(self, target: str) -> float | None:
        """Tell whether the last probe of a target got in."""
        return self.value(f'pgconn_probe_success{{target="{target}"}}')

    def refusals(self, target: str, *, sqlstate: str) -> float:
        """Count the probes of a target that were turned away in this way."""
        name = "pgconn_probe_failures_total"
        return self.value(f'{name}{{target="{target}",sqlstate="{sqlstate}"}}') or 0.0

    def errors(self, target: str, collector: str, reason: str = "") -> float:
        """Count the failed polls of a target, for one reason or for any."""
        labels = f'target="{target}",collector="{collector}",reason="{reason or "[a-z_]+"}"'
        found = re.findall(
            rf"^pgconn_poll_errors_total\{{{labels}\}} (\S+)$", self.page, re.MULTILINE
        )
        return sum(map(float, found))

    def of_server(self, target: str) -> set[str]:
        """Give the names of what was read from a server, not about our polls."""
        names = re.findall(rf'^(\w+)\{{target="{target}"', self.page, re.MULTILINE)
        return {name for name in names if not name.startswith(_OURS)}


class Standstill(NamedTuple):
    """When our process stood still as a whole (monotonic clock), and for how long."""

    began: float
    seconds: float


class Recording:
    """Everything that a daemon shows, from before a fault until all is well again.

    `targets` are the names of those that lead to the server to which it happens.
    """

    def __init__(self, watch: Watch, server: Cluster, targets: Sequence[str]) -> None:
        self.glances: list[Glance] = []
        self._watch = watch
        self._server = server
        self._targets = targets
        self._faulty = self._mending = self._healed = 0.0
        self._standstills: list[Standstill] = []

    @property
    def newest(self) -> Glance:
        """Give the scrape before now."""
        return self.glances[-1]

    async def run(self) -> None:
        """Scrape for ever."""
        with standstills(self._standstills):
            while True:
                self.glances.append(await self._glance())
                await asyncio.sleep(TURN)

    async def _glance(self) -> Glance:
        began = time.monotonic()
        async with self._watch.session.get(self._watch.url + "/metrics") as response:
            page = await response.text()
            assert response.status == 200
        return Glance(began, time.monotonic() - began, page)

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Tell when something is wrong: in here."""
        self._faulty, self._mending = time.monotonic(), 0.0
        yield
        self._healed = time.monotonic()
        self._mending = self._mending or self._healed

    def mending(self) -> None:
        """Tell that from now on it may be up again, where it takes time until nothing is wrong."""
        self._mending = time.monotonic()

    def _still(self, since: float, until: float) -> float:
        """Give for how long our process stood still meanwhile: nobody could have done anything."""
        return sum(s.seconds for s in self._standstills if since <= s.began < until)

    # --- What is awaited

    async def until(self, condition: Callable[[Glance], Any], patience: float = PATIENCE) -> None:
        """Wait until a scrape that begins after now fulfils a condition."""
        now = time.monotonic()

        async def look() -> bool:
            return bool(self.glances and self.newest.began > now and condition(self.newest))

        await eventually(look, patience)

    async def up(self) -> None:
        """Wait until every way to the server is shown as up."""
        await self.until(lambda glance: all(map(glance.up, self._targets)))

    async def down(self) -> None:
        """Wait until no way to the server is shown as up."""
        await self.until(lambda glance: not any(map(glance.up, self._targets)))

    async def failed(
        self, target: str, reason: str = "", *, collector: str = "activity", times: int
    ) -> None:
        """Wait until so many polls have failed, from the beginning."""
        await self.until(lambda g: g.errors(target, collector, reason) >= times)

    async def polled(self, target: str, collector: str = "activity", times: int = 2) -> None:
        """Wait until so many polls from now on have ended: of the first one the begin lies back."""
        before = self.newest.polls(target, collector)
        await self.until(lambda g: g.polls(target, collector) >= before + times)

    async def settled(self, count: int | None = None, patience: float = PATIENCE) -> dict[int, str]:
        """Wait until the server has one session for each way to it, or `count` in all; give them.

        Those of the probes come and go.
        """
        wanted = len(self._targets) if count is None else count
        found: dict[int, str] = {}

        async def look() -> bool:
            found.clear()
            found.update(sessions(self._server))
            assert len(found) == wanted, found
            return True

        started = time.monotonic()
        await eventually(look, patience)
        log.info("%d sessions after %.2f s more", wanted, time.monotonic() - started)
        return found

    # --- What is promised

    def answers(self) -> None:
        """Require that every scrape was answered at once, whatever hung."""
        seconds = [glance.seconds for glance in self.glances]
        median, slowest = statistics.median(seconds), max(seconds)
        log.info("%d scrapes: median %.4f s, slowest %.3f s", len(seconds), median, slowest)
        assert median < FAST
        # We may stand still for a moment ourselves; who waits for a server does so again and again.
        assert sorted(seconds)[-2] < DEADLINE / 2

    def goes_down(
        self, target: str, interval: float = INTERVAL, *, comes_back: bool = False
    ) -> None:
        """Require that it was down in time, and until it was healed did not seem to be up.

        `comes_back` tells that it recovers while there is still something wrong.
        """
        during = [g for g in self.glances if self._faulty <= g.began < self._mending]
        down = next(g.began for g in during if not g.up(target))
        took = down - self._faulty - self._still(self._faulty, down)
        log.info("%s: up 0 after %.2f s", target, took)
        assert took < DEADLINE + interval + LEEWAY
        assert comes_back or not any(g.up(target) for g in during if g.began > down)

    def comes_back(self, target: str, within: float = max(RETRY, INTERVAL)) -> None:
        """Require that it was up again in time, and stayed so."""
        after = [g for g in self.glances if g.began >= self._healed]
        up = next(g.began for g in after if g.up(target))
        took = up - self._healed - self._still(self._healed, up)
        log.info("%s: up 1 after %.2f s", target, took)
        # A server that has just come back is slow itself; who tries too rarely is far later.
        assert took < within + 2 * LEEWAY
        assert all(g.up(target) for g in after if g.began > up)

    def withdraws(self, target: str, *, kept: bool = False) -> None:
        """Require that nothing was shown that was no longer known.

        Over a connection that is `kept` other reads than the one that fails still succeed.
        """
        shown = {name for g in self.glances if not g.up(target) for name in g.of_server(target)}
        assert not (shown & OF_ACTIVITY if kept else shown), shown

    def stays_up(self, target: str) -> None:
        """Require that it was up all the time, once it was so, and without an error."""
        after = itertools.dropwhile(lambda glance: not glance.up(target), self.glances)
        assert all(glance.up(target) for glance in after)
        assert self.newest.errors(target, "activity") == 0

    def stays_fresh(self, target: str) -> None:
        """Require that what was shown was never older than a poll may take."""
        offset = time.time() - time.monotonic()
        ages = [
            glance.began + offset - (glance.last_success(target) or 0.0)
            for glance in self.glances
            if glance.up(target)
        ]
        log.info("%s: data at most %.2f s old", target, max(ages))
        assert max(ages) < DEADLINE + INTERVAL + LEEWAY

    def keeps_pace(self, target: str) -> None:
        """Require that it stayed up, and that none of its polls was left out."""
        self.stays_up(target)
        first, last = self.glances[0], self.newest
        polls = last.polls(target) - first.polls(target)
        seconds = last.began - first.began - self._still(first.began, last.began)
        log.info("%s: %d polls of %.1f possible", target, polls, seconds / INTERVAL)
        assert polls >= PACE * (seconds - LEEWAY) / INTERVAL


@asynccontextmanager
async def recorded(
    targets: Mapping[str, Target], server: Cluster, good: Cluster, *, kept: bool = False
) -> AsyncIterator[Recording]:
    """Watch a server, by several ways, and a good one beside it; hold to what always holds.

    That is: scrapes are answered, nothing stale is shown, the good target misses nothing, no
    fault of ours is logged, and the server has one session for each target in the end.
    `kept` tells that the connections outlast what happens.
    """
    # A busy machine may hold it up for a moment: that is no poll that failed.
    patient: Target = {"dsn": good.dsn(user=MONITOR), "query_timeout": "5s"}
    ways: dict[str, Target] = {**targets, GOOD: patient}
    with capture_logs() as logs:
        async with watching(ways, query_timeout=f"{DEADLINE:g}s", intervals=INTERVALS) as watch:
            recording = Recording(watch, server, list(targets))
            async with running(recording.run()):
                await recording.until(lambda glance: glance.up(GOOD))
                yield recording
                await recording.up()
                await recording.settled()
                await recording.polled(GOOD)
    for name in targets:
        recording.withdraws(name, kept=kept)
    recording.answers()
    recording.keeps_pace(GOOD)
    unforeseen = [line for line in logs if line["log_level"] not in {"debug", "info", "warning"}]
    assert not unforeseen, unforeseen


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have something run meanwhile; where it fails, that is raised in the end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextmanager
def standstills(found: list[Standstill]) -> Iterator[None]:
    """Note when our whole process stands still; a thread is not held up by what blocks the loop."""
    over = threading.Event()

    def look() -> None:
        began = time.monotonic()
        while not over.wait(TURN):
            now = time.monotonic()
            if now - began > INTERVAL:
                found.append(Standstill(began, now - began - TURN))
            began = now

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
