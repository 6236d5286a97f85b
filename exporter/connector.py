"""The connection to one target: kept, opened anew when it is lost, and replaced by a spare."""

import asyncio
import time
from dataclasses import replace
from typing import Final

import structlog

from exporter.config import Target
from exporter.server.connection import Connection
from exporter.server.console import Console
from exporter.server.errors import PollError, TooManyConnectionsError
from exporter.targets import access

# A server that is back shall be seen at the next poll; only who polls faster must wait.
MIN_BACKOFF: Final = 1.0
# Trying again soon does not mend a wrong password, and each attempt stands in the server's log.
MAX_BACKOFF: Final = 30.0
# On a full server a slot that becomes free is taken by the next who asks. At this pace we ask
# at least once while one is free for 200 ms; where asking takes longer, with a pause between.
SLOT_SECONDS: Final = 0.15
SLOT_PAUSE: Final = 0.05

log = structlog.get_logger()


def same_way(old: Target, new: Target) -> bool:
    """Tell whether a connection to one can go on as one to the other."""
    return _way(old) == _way(new)


def _way(target: Target) -> tuple[object, ...]:
    interval = target.intervals.activity  # our backoff's
    return (
        *(target.name, target.kind, target.dsn, target.password_file),
        *(target.query_timeout, target.spare, interval),
    )


def _nobody() -> None:
    """Tell nobody."""


def backoff(error: PollError, failures: int, interval: float) -> float:
    """Give the seconds to wait before connecting again, after so many failures in a row."""
    shortest = max(MIN_BACKOFF, interval)
    if not error.persistent:
        return shortest
    return min(MAX_BACKOFF, shortest * 2.0 ** min(failures, 10))


class Connector:
    """Keep one connection to a target, and a spare where the target asks for one.

    Where every slot is taken it goes on trying in the background, and calls `on_slot` when it got
    one. It calls `on_end` when the connection ends between two polls.
    """

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.on_slot = self.on_end = _nobody
        self._access = access(target)
        # Of the one that is used the server tells us the pid; the other is known by its name.
        self._spare_access = replace(self._access, named_ours=True)
        self._deadline = target.query_timeout
        self._interval = target.intervals.activity
        self._open = Console.open if target.kind == "pgbouncer" else Connection.open
        self._wants_spare = target.spare and target.kind == "postgresql"
        self._connection: Connection | None = None
        self._spare: Connection | None = None
        self._failures = 0
        self._next_attempt = self._next_spare = 0.0
        self._refusal: PollError | None = None
        self._pause = SLOT_SECONDS
        self._waiting: asyncio.Task[None] | None = None
        self._sparing: asyncio.Task[None] | None = None

    @property
    def connection(self) -> Connection | None:
        """Give the connection, where there is one."""
        return self._connection

    @property
    def due(self) -> bool:
        """Tell whether there is a connection, or one may be tried now."""
        return self._connection is not None or time.monotonic() >= self._next_attempt

    async def connect(self) -> Connection:
        """Open the connection; raise a PollError, at once while a slot is waited for."""
        if self._waiting is not None and self._refusal is not None:
            raise self._refusal
        if await self.take_spare() and self._connection is not None:
            return self._connection
        # From its beginning on, since polls come at fixed times: what took long was wait enough.
        # And a little early: the poll that comes at that very moment shall find it over.
        began = time.monotonic()
        self._next_attempt = began + 0.9 * max(MIN_BACKOFF, self._interval)
        try:
            connection = await self._open(self._access, self._deadline)
        except PollError as error:
            self._refused(error, began)
            raise
        self._connected(connection)
        return connection

    def _refused(self, error: PollError, began: float) -> None:
        self._failures += 1
        self._next_attempt = began + 0.9 * backoff(error, self._failures, self._interval)
        if isinstance(error, TooManyConnectionsError):
            self._refusal, self._next_attempt, self._pause = error, 0.0, SLOT_SECONDS
            self._waiting = asyncio.ensure_future(self._wait_for_slot())

    def _connected(self, connection: Connection) -> None:
        self._connection, self._failures, self._next_attempt = connection, 0, 0.0
        log.info("connected", target=self.name, server_version=connection.server_version)

    async def _wait_for_slot(self) -> None:
        """Ask for a slot until we have one, or the server no longer says that it is full."""
        try:
            while not await self._try_for_slot():
                pass
        except PollError:
            return  # the next poll finds out what it is
        finally:
            self._waiting = None
        self.on_slot()

    async def _try_for_slot(self) -> bool:
        """Ask once, after a pause; tell whether there is a connection now."""
        await asyncio.sleep(self._pause)
        # One that was being opened when the connection was lost may have had more luck.
        if await self._use_spare():
            return True
        started = time.monotonic()
        try:
            connection = await self._open(self._access, self._deadline)
        except TooManyConnectionsError as error:
            self._refusal = error
            self._pause = max(SLOT_PAUSE, SLOT_SECONDS - (time.monotonic() - started))
            return False
        self._connected(connection)
        return True

    def rest(self) -> None:
        """Listen for the end of the connection, until `wake`: its slot is free for a moment."""
        if self._connection is not None and not self._connection.closed:
            self._connection.watch(self.on_end)

    def wake(self) -> None:
        """Make the connection ready for statements."""
        if self._connection is not None:
            self._connection.unwatch()

    def drop_if_closed(self) -> bool:
        """Let go of a connection that is gone; tell whether it was."""
        if self._connection is not None and not self._connection.closed:
            return False
        self._connection = None
        return True

    async def take_spare(self) -> bool:
        """Put the spare in the place of a lost connection; tell whether there was one.

        While a slot is waited for, it is for who waits to take it.
        """
        return self._waiting is None and await self._use_spare()

    async def _use_spare(self) -> bool:
        await self._drop_ended_spare()
        if self._spare is None:
            return False
        self._connection, self._spare = self._spare, None
        log.info("spare connection taken", target=self.name)
        return True

    async def _drop_ended_spare(self) -> None:
        spare = self._spare
        if spare is not None and spare.ended:
            self._spare = None
            await spare.close()

    async def keep_spare(self) -> None:
        """See to it that there is a spare, without waiting for one."""
        await self._drop_ended_spare()
        missing = self._wants_spare and self._spare is None and self._sparing is None
        if missing and time.monotonic() >= self._next_spare:
            self._next_spare = time.monotonic() + max(MIN_BACKOFF, self._interval)
            self._sparing = asyncio.ensure_future(self._open_spare())

    async def _open_spare(self) -> None:
        try:
            self._spare = await self._open(self._spare_access, self._deadline)
        except PollError as error:
            log.debug("no spare connection", target=self.name, reason=error.reason)
        finally:
            self._sparing = None

    async def close(self) -> None:
        """Give up what is being opened, and close what is open."""
        self.on_slot = self.on_end = _nobody
        tasks = [task for task in (self._waiting, self._sparing) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        for connection in (self._connection, self._spare):
            if connection is not None:
                await connection.close()
        self._connection = self._spare = None
