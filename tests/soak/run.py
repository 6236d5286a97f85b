"""One run: every fault once or more, a rest, faults by chance for a while, and a rest again."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from time import monotonic
from typing import Final

import psycopg

from tests.integration.watching import POLLS, Watch
from tests.soak.faults import FAULTS
from tests.soak.gauges import Rest, rest, rss
from tests.soak.judging import ALLOWED, Polls
from tests.soak.plan import Step, plan
from tests.soak.visitors import Scrapers
from tests.soak.world import ACTIVITY_SECONDS, STEADY, World

ERRORS: Final = "pgconn_poll_errors_total"
LOOK_SECONDS: Final = 1.0
FAULT_SECONDS: Final = 60.0  # none takes so long, unless the soak itself is wrong


@dataclass(frozen=True, slots=True)
class Length:
    """How often each fault is dealt before it counts, and how long it takes then, in seconds.

    With `trace`, each rest ends with a look at the exporter's memory. RSS may grow by the share
    `rss`: how soon malloc has found its size is up to chance (heap.py).
    """

    rounds: int
    seconds: float
    rest: float
    trace: bool = False
    rss: float = ALLOWED


@dataclass(slots=True)
class Events:
    """What has happened: faults by name, those in vain, and the memory meanwhile in megabytes.

    A fault is in vain where the server that it needs is down; `reasons` has the last one's error.
    `trace` tells which objects have grown in number, where that was asked for.
    """

    done: Counter[str] = field(default_factory=Counter)
    in_vain: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run: both rests, healthy targets, and the log."""

    length: Length
    start: Rest
    end: Rest
    polls: list[Polls]
    events: Events
    scrapers: Scrapers
    log: str


class Run:
    """One run of the soak in a world."""

    def __init__(self, world: World, watch: Watch, length: Length, seed: int) -> None:
        self._world = world
        self._watch = watch
        self._length = length
        self._plans = {lane: plan(tuple(table), seed, lane) for lane, table in FAULTS.items()}
        self._events = Events()
        self._scrapers = Scrapers(world.subject.url)

    async def result(self) -> Result:
        """Do it all."""
        await self._warm_up()
        start = await self._rest()
        polls = await self._soak()
        end = await self._rest()
        log = self._world.subject.log_text()
        return Result(self._length, start, end, polls, self._events, self._scrapers, log)

    async def _warm_up(self) -> None:
        """Do every fault as often as the rounds say."""
        rounds = self._length.rounds
        await self._faults(lambda lane: islice(self._plans[lane], rounds * len(FAULTS[lane])))

    async def _soak(self) -> list[Polls]:
        """Do faults by chance until the time is over; count the polls of the healthy targets."""
        subject = self._world.subject
        began, before = monotonic(), await self._polls()
        waited = subject.seconds_without_processor()
        end = began + self._length.seconds
        watching = asyncio.create_task(self._watch_memory())
        await self._faults(lambda lane: takewhile(lambda _: monotonic() < end, self._plans[lane]))
        watching.cancel()
        after = await self._polls()
        taken = monotonic() - began
        starved = (subject.seconds_without_processor() - waited) / taken
        return [
            Polls(name, after[name] - before[name], taken / ACTIVITY_SECONDS, starved)
            for name in STEADY
        ]

    async def _rest(self) -> Rest:
        """Do nothing, and give what the exporter holds."""
        found = await rest(self._world, self._watch, self._length.rest)
        if self._length.trace:
            self._events.trace = await self._world.subject.trace()
        return found

    async def _faults(self, deal: Callable[[str], Iterable[Step]]) -> None:
        """Let each lane have its faults, while scrapers are at work."""
        async with self._scrapers.at_work(), asyncio.TaskGroup() as group:
            for lane in FAULTS:
                group.create_task(self._lane(lane, deal(lane)))

    async def _lane(self, lane: str, steps: Iterable[Step]) -> None:
        for step in steps:
            self._events.done[step.fault] += 1
            try:
                async with asyncio.timeout(FAULT_SECONDS):
                    await FAULTS[lane][step.fault](self._world, step)
            except (OSError, psycopg.Error) as error:
                self._events.in_vain[step.fault] += 1
                self._events.reasons[step.fault] = f"{type(error).__name__}: {error}"
            await asyncio.sleep(step.pause)

    async def _watch_memory(self) -> None:
        while True:
            self._events.memory.append(rss(self._world.subject.pid))
            await asyncio.sleep(LOOK_SECONDS)

    async def _polls(self) -> dict[str, float]:
        """Give how often each healthy target was polled with success."""
        scrape = await self._watch.scrape()
        made = scrape.table(POLLS, "target", collector="activity")
        failed = {
            name: sum(scrape.all(ERRORS, target=name, collector="activity").values())
            for name in STEADY
        }
        return {name: made[name,] - failed[name] for name in STEADY}
