"""The polls of one target: one kept connection, a deadline, and an outcome that is always told."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from exporter.collectors import PROBE
from exporter.collectors.polling import PollRecord
from exporter.config import Target
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Exposition
from exporter.pace import Pace
from exporter.reads import ACTIVITY_READ, Read
from exporter.server.connection import Connection
from exporter.server.console import Console
from exporter.server.errors import PollError, QueryError
from exporter.server.probe import probe
from exporter.snapshot import ProbeResult
from exporter.targets import access, collector_options, probe_access, reads_of

PROBE_READ: Final = "probe"
POLLING: Final = "polling"

EXPIRY_INTERVALS: Final = 3
"""After how many intervals the series of a read expire that neither succeeds nor fails."""

# A server that is back shall be seen at the next poll; only who polls faster must wait.
MIN_BACKOFF: Final = 1.0
# Trying again soon does not mend a wrong password, and each attempt stands in the server's log.
MAX_BACKOFF: Final = 30.0

# Reschedule only for a change that matters: each moves the grid of the polls.
STRETCH_TOLERANCE: Final = 0.25

log = structlog.get_logger()


def backoff(error: PollError, failures: int, interval: float) -> float:
    """Give the seconds to wait before connecting again, after so many failures in a row."""
    shortest = max(MIN_BACKOFF, interval)
    if not error.persistent:
        return shortest
    return min(MAX_BACKOFF, shortest * 2.0 ** min(failures, 10))


class Poller:
    """Poll one target; `on_connect` and `on_pace` tell when its reads are due anew.

    `poolers` are what the watched PgBouncers to which the target is linked have said, by name.
    """

    def __init__(
        self,
        target: Target,
        exposition: Exposition,
        poolers: Mapping[str, Pooler],
        on_connect: Callable[[], None],
        on_pace: Callable[[], None],
    ) -> None:
        self.name = target.name
        self.polled = asyncio.Event()
        self._target = target
        self._exposition = exposition
        self._on_connect, self._on_pace = on_connect, on_pace
        self._access, self._probe_access = access(target), probe_access(target)
        self._open = Console.open if target.kind == "pgbouncer" else Connection.open
        self._reads: dict[str, Read[Any]] = {r.name: r for r in reads_of(target, poolers)}
        self._probes = [collector(collector_options(target)) for collector in PROBE]
        self._names = (*self._reads, *([PROBE_READ] if self._probe_access else []))
        intervals = target.intervals.model_dump()
        self._pace = Pace({name: intervals[name] for name in self._names}, target.max_overhead)
        self._stretch = 1.0
        self._record = PollRecord()
        self._complaints: dict[str, str] = {}
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._failures = 0
        self._next_attempt = 0.0
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
        if read.name != ACTIVITY_READ and self._connection is None:
            return  # the activity read connects, and has the others run then
        if self._connection is None and started < self._next_attempt:
            return
        try:
            async with self._turn:
                await self._run(read)
        except PollError as error:
            self._failed(read, error)
        except Exception:
            self._failed(read, QueryError("a fault of the exporter: see the log"))
            raise
        finally:
            self._finish(read.name, started)

    async def _run(self, read: Read[Any]) -> None:
        if self._connection is not None:
            self._connection.renew_deadline()
        connection = await self._connected(read)
        if connection is None:
            return
        started = time.monotonic()
        snapshot = await read.fetch(connection)
        elapsed = time.monotonic() - started
        working = time.thread_time()
        self._publish(read, snapshot)
        own = time.thread_time() - working + connection.decode_seconds
        own += read.own_seconds(snapshot)
        self._pace.spent(read.name, read.server_seconds(snapshot, elapsed), own)
        complaint = read.complaint(snapshot, connection)
        if complaint is None:
            self._recovered(read.name)
        else:
            self._complain(read.name, complaint)

    async def _connected(self, read: Read[Any]) -> Connection | None:
        """Give the connection; the activity read opens it where there is none."""
        if self._connection is not None or read.name != ACTIVITY_READ:
            return self._connection
        try:
            connection = await self._open(self._access, self._target.query_timeout)
        except PollError as error:
            self._failures += 1
            wait = backoff(error, self._failures, self._target.intervals.activity)
            # A little early: the poll that comes at that very moment shall find it over.
            self._next_attempt = time.monotonic() + 0.9 * wait
            raise
        self._connection, self._failures = connection, 0
        log.info("connected", target=self.name, server_version=connection.server_version)
        self._on_connect()
        return connection

    def _publish(self, read: Read[Any], snapshot: object) -> None:
        interval = self._pace.interval(read.name)
        self._exposition.publish(
            self.name,
            read.name,
            read.collect(snapshot),
            lifetime=EXPIRY_INTERVALS * interval + self._target.query_timeout,
            max_series=self._target.max_series,
        )
        self._record.last_success[read.name] = time.time()

    async def _probe(self) -> None:
        assert self._probe_access is not None  # noqa: S101 - there is no such read otherwise
        started = time.monotonic()
        result = await probe(self._probe_access, self._target.query_timeout)
        self._tell_probe(result)
        self._exposition.publish(
            self.name,
            PROBE_READ,
            (sample for collector in self._probes for sample in collector.collect(result)),
            lifetime=EXPIRY_INTERVALS * self._pace.interval(PROBE_READ)
            + self._target.query_timeout,
        )
        self._record.last_success[PROBE_READ] = time.time()
        self._finish(PROBE_READ, started)

    def _tell_probe(self, result: ProbeResult) -> None:
        """Log when clients begin to be turned away, and when that is over."""
        if result.success:
            self._recovered(PROBE_READ)
        elif self._complaints.get(PROBE_READ) != result.sqlstate:
            self._complaints[PROBE_READ] = result.sqlstate
            log.warning("new connections fail", target=self.name, sqlstate=result.sqlstate)

    def _failed(self, read: Read[Any], error: PollError) -> None:
        """Withdraw what is no longer known, count it, and say so at the transition."""
        if self._connection is None or self._connection.closed:
            self._connection = None
            for other in self._reads.values():
                self._withdraw(other)
        else:
            self._withdraw(read)
        self._complain(read.name, error)

    def _withdraw(self, read: Read[Any]) -> None:
        self._exposition.withdraw(self.name, read.name)
        read.interrupt()

    def _complain(self, name: str, error: PollError) -> None:
        self._record.errors[name, error.reason] += 1
        if self._complaints.get(name) != error.reason:
            self._complaints[name] = error.reason
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
            self._on_pace()
        self._record.intervals = self.intervals
        self._exposition.publish(self.name, POLLING, self._record.samples())
        self.polled.set()

    def _tell_stretch(self, stretch: float) -> None:
        """Log when the overhead limit begins to hold polls back, and when it does no more."""
        if self._stretch == 1 or stretch == 1:
            log.info("overhead limit", target=self.name, intervals_times=round(stretch, 2))

    async def stop(self) -> None:
        """End what runs, and close the connection."""
        self._stopping = True
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=1)
        if self._connection is not None:
            await self._connection.close()
