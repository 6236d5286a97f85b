"""The polls of one target: each has a deadline, and an outcome that is always told."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import structlog

from exporter.collectors import PROBE
from exporter.collectors.polling import PollRecord
from exporter.config import Target
from exporter.connector import Connector
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Exposition, Sample
from exporter.pace import Pace
from exporter.reads import ACTIVITY_READ, Read
from exporter.server.connection import Connection
from exporter.server.errors import ConnectionLostError, PollError, QueryError
from exporter.server.probe import probe
from exporter.snapshot import ProbeResult
from exporter.targets import collector_options, probe_access, reads_of

PROBE_READ: Final = "probe"
POLLING: Final = "polling"

EXPIRY_INTERVALS: Final = 3
"""After how many intervals the series of a read expire that neither succeeds nor fails."""

# Reschedule only for a change that matters: each moves the grid of the polls.
STRETCH_TOLERANCE: Final = 0.25

log = structlog.get_logger()


class Schedule(Protocol):
    """What has the polls run; a target that it does not know is none of its business."""

    def run_now(self, target: str, reads: Iterable[str]) -> None:
        """Have reads of a target run now."""

    def keep_pace(self, target: str, intervals: Mapping[str, float]) -> None:
        """Take over the intervals of a target that are in force, in seconds by read."""


class Poller:
    """Poll one target; the schedule is told which reads are due at once, and new intervals.

    `poolers` are what the watched PgBouncers to which the target is linked have said, by name.
    `connector` is that of a poller before this one, where it reached the target in the same way.
    """

    def __init__(
        self,
        target: Target,
        exposition: Exposition,
        poolers: Mapping[str, Pooler],
        schedule: Schedule,
        connector: Connector | None = None,
    ) -> None:
        self.name = target.name
        self.polled = asyncio.Event()
        self._target = target
        self._exposition = exposition
        self._schedule = schedule
        self._connector = connector or Connector(target)
        self._connector.on_slot = lambda: schedule.run_now(target.name, self._reads)
        self._connector.on_end = lambda: schedule.run_now(target.name, (ACTIVITY_READ,))
        self._probe_access = probe_access(target)
        self._reads: dict[str, Read[Any]] = {r.name: r for r in reads_of(target, poolers)}
        self._probes = [collector(collector_options(target)) for collector in PROBE]
        self._names = (*self._reads, *([PROBE_READ] if self._probe_access else []))
        intervals = target.intervals.model_dump()
        self._pace = Pace({name: intervals[name] for name in self._names}, target.max_overhead)
        self._stretch = 1.0
        self._record = PollRecord()
        self._complaints: dict[str, tuple[str, str | None]] = {}
        self._turn = asyncio.Lock()
        self._served = False  # whether the connection gave a snapshot
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False
        exposition.watch(self.name, ACTIVITY_READ)

    @property
    def intervals(self) -> dict[str, float]:
        """Give the intervals in force, in seconds, by read."""
        return {name: self._pace.interval(name) for name in self._names}

    async def poll(self, name: str) -> None:
        """Run one read, and publish what it gave or withdraw what it said. Never raises."""
        task = asyncio.current_task()
        if self._stopping or task is None:
            return
        self._running.add(task)
        try:
            if name == PROBE_READ:
                await self._probe()
            else:
                await self._poll(self._reads[name])
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        except Exception:
            # A fault of ours in one read must not end its schedule, and nobody else's.
            log.exception("unforeseen fault", target=self.name, read=name)
        finally:
            self._running.discard(task)

    async def _poll(self, read: Read[Any]) -> None:
        started = time.monotonic()
        if read.name != ACTIVITY_READ and self._connector.connection is None:
            return  # the activity read connects, and has the others run then
        if not self._connector.due:
            return
        try:
            async with self._turn:
                self._connector.wake()
                while await self._attempt(read):
                    pass
                self._connector.rest()
        finally:
            self._finish(read.name, started)

    async def _attempt(self, read: Read[Any]) -> bool:
        """Run a read, and tell whether it shall be run again at once."""
        try:
            await self._run(read)
        except PollError as error:
            return await self._failed(read, error)
        except Exception:
            await self._failed(read, QueryError("a fault of the exporter: see the log"))
            raise
        return False

    async def _run(self, read: Read[Any]) -> None:
        connection = await self._connected(read)
        if connection is None:
            return
        started = time.monotonic()
        snapshot = await read.fetch(connection)
        elapsed = time.monotonic() - started
        working = time.thread_time()
        self._publish(read.name, read.collect(snapshot))
        self._served = True
        own = time.thread_time() - working + connection.decode_seconds
        own += read.own_seconds(snapshot)
        self._pace.spent(read.name, read.server_seconds(snapshot, elapsed), own)
        complaint = read.complaint(snapshot, connection)
        if complaint is None:
            self._recovered(read.name)
        else:
            self._complain(read.name, complaint)
        await self._connector.keep_spare()

    async def _connected(self, read: Read[Any]) -> Connection | None:
        """Give the connection, its deadline begun; the activity read opens it if there is none."""
        connection = self._connector.connection
        if connection is not None:
            connection.renew_deadline()
        elif read.name == ACTIVITY_READ:
            connection = await self._connector.connect()
            self._schedule.run_now(self.name, self._others(read))
        return connection

    def _others(self, read: Read[Any]) -> list[str]:
        return [name for name in self._reads if name != read.name]

    def _publish(self, name: str, samples: Iterable[Sample]) -> None:
        """Say what a read gave, unless the target is not ours any more."""
        if self._stopping:
            return
        self._exposition.publish(
            self.name,
            name,
            samples,
            lifetime=EXPIRY_INTERVALS * self._pace.interval(name) + self._target.query_timeout,
            max_series=self._target.max_series,
        )
        self._record.last_success[name] = time.time()

    async def _probe(self) -> None:
        assert self._probe_access is not None  # noqa: S101 - there is no such read otherwise
        started = time.monotonic()
        result = await probe(self._probe_access, self._target.query_timeout)
        self._tell_probe(result)
        samples = (sample for each in self._probes for sample in each.collect(result))
        self._publish(PROBE_READ, samples)
        self._finish(PROBE_READ, started)

    def _tell_probe(self, result: ProbeResult) -> None:
        """Log when clients begin to be turned away, and when that is over."""
        if result.success:
            self._recovered(PROBE_READ)
        elif self._complaints.get(PROBE_READ) != (result.sqlstate, None):
            self._complaints[PROBE_READ] = result.sqlstate, None
            log.warning("new connections fail", target=self.name, sqlstate=result.sqlstate)

    async def _failed(self, read: Read[Any], error: PollError) -> bool:
        """Count and tell it, and withdraw what is no longer known.

        Tells whether to read again at once: over the spare, or because a slot that we have just
        lost is free for a moment.
        """
        self._complain(read.name, error)
        if not self._connector.drop_if_closed():
            self._withdraw(read)
            return False
        sudden, served = isinstance(error, ConnectionLostError), self._served
        spared = await self._connector.take_spare()
        if spared and sudden:
            return True  # nobody waited for anything: what was said a moment ago still holds
        for other in self._reads.values():
            self._withdraw(other)
        # A connection on which nothing ever succeeded would be lost again, and so for ever.
        self._served = spared
        if spared or (sudden and served and read.name != ACTIVITY_READ):
            self._schedule.run_now(self.name, self._others(read))
        return spared or (sudden and served)

    def _withdraw(self, read: Read[Any]) -> None:
        self._exposition.withdraw(self.name, read.name)
        read.interrupt()

    def _complain(self, name: str, error: PollError) -> None:
        self._record.errors[name, error.reason] += 1
        # The words of an error may vary from poll to poll; what is to be done about it does not.
        complaint = error.reason, error.cure
        if self._complaints.get(name) != complaint:
            self._complaints[name] = complaint
            cure = {"cure": error.cure} if error.cure else {}
            log.warning(
                "poll failed",
                target=self.name,
                read=name,
                reason=error.reason,
                error=str(error),
                **cure,
            )

    def _recovered(self, name: str) -> None:
        if self._complaints.pop(name, None) is not None:
            log.info("poll recovered", target=self.name, read=name)

    def _finish(self, name: str, started: float) -> None:
        """Note what the poll took, and have the intervals stretched if they must be."""
        self._record.polled(name, time.monotonic() - started)
        stretch = self._pace.stretch
        over = stretch == 1 != self._stretch
        if over or abs(stretch / self._stretch - 1) > STRETCH_TOLERANCE:
            self._tell_stretch(stretch)
            self._stretch = stretch
            self._schedule.keep_pace(self.name, self.intervals)
        self._record.intervals = self.intervals
        if not self._stopping:
            self._exposition.publish(self.name, POLLING, self._record.samples())
        self.polled.set()

    def _tell_stretch(self, stretch: float) -> None:
        """Log when the overhead limit begins to hold polls back, and when it does no more."""
        if self._stretch == 1 or stretch == 1:
            log.info("overhead limit", target=self.name, intervals_times=round(stretch, 2))

    async def stop(self) -> None:
        """End what runs, and close the connection."""
        self._stopping = True
        await self._end_polls()
        await self._connector.close()

    async def retire(self) -> Connector:
        """End, and hand over the connection: polls that run may end by themselves."""
        self._stopping = True
        if self._running:
            # Each ends by its deadline, but they take turns.
            await asyncio.wait(self._running, timeout=self._target.query_timeout)
        await self._end_polls()
        self._connector.wake()
        return self._connector

    async def _end_polls(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=1)
