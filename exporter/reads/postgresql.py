"""The reads of a PostgreSQL target."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, Final

from exporter.collectors import (
    ACTIVITY,
    DATABASES,
    REPLICATION,
    SETTINGS,
    Options,
    StatementMeans,
    Timeouts,
)
from exporter.collectors.polling import PRIVILEGES_LIMITED
from exporter.diagnosis.clients import Clients
from exporter.diagnosis.poolers import Pooler
from exporter.diagnosis.sightings import Observer
from exporter.diagnosis.sockets import suspects
from exporter.diagnosis.timeouts import Logins
from exporter.exposition import Sample
from exporter.reads.base import ACTIVITY_READ, Read
from exporter.server.activity import read_activity, read_port
from exporter.server.connection import Connection
from exporter.server.databases import read_databases
from exporter.server.errors import (
    OverriddenError,
    PollError,
    PollTimeoutError,
    PrivilegeError,
)
from exporter.server.replication import read_replication
from exporter.server.settings import overridden, read_configuration
from exporter.server.sockets import read_tcp_table
from exporter.server.statements import grant_monitor, read_statements, slow_texts
from exporter.snapshot import (
    Activity,
    Configuration,
    StatementRow,
    Statements,
    StatementsInfo,
)


class ActivityRead(Read[Activity]):
    """The sessions; where other roles' are hidden, nothing is said rather than a part."""

    def __init__(self, options: Options, poolers: Collection[Pooler]) -> None:
        fetch = self._read_with_tcp_table if options.proc else read_activity
        super().__init__(ACTIVITY_READ, fetch, ())
        self._looked_at: float | None = None
        self._observer = Observer(Clients(options.groups), options.connection_labels, poolers)
        self._watchers = tuple(collector(options) for collector in ACTIVITY)
        self.logins = Logins()

    def collect(self, snapshot: Activity) -> Iterator[Sample]:
        """Yield the samples of every collector, of connections with their clients named."""
        yield Sample(PRIVILEGES_LIMITED, (), int(snapshot.limited))
        if snapshot.limited:
            self.interrupt()
            return
        sighting = self._observer.observe(snapshot)
        self.logins.see(sighting)
        for collector in self._watchers:
            yield from collector.collect(sighting)

    def interrupt(self) -> None:
        """Tell the collectors that the next snapshot does not follow the last one."""
        self._looked_at = None
        for collector in self._watchers:
            collector.interrupt()

    async def _read_with_tcp_table(self, connection: Connection) -> Activity:
        """Read every session, and the sockets of those that run a query since the last poll.

        The first time, it is only to see whether the table can be used.
        """
        activity = await read_activity(connection)
        since, self._looked_at = self._looked_at, activity.now
        suspected = () if since is None else suspects(activity, since)
        if since is not None and not suspected:
            return activity
        port = await read_port(connection)
        [own] = [s for s in activity.sessions if s.pid == activity.own_pid]
        # In a thread: the kernel takes long to walk through the sockets of a busy host.
        return replace(activity, tcp=await asyncio.to_thread(read_tcp_table, port, suspected, own))

    def server_seconds(self, snapshot: Activity, elapsed: float) -> float:
        """Give what the server itself says that it took."""
        return min(elapsed, snapshot.server_seconds)

    def own_seconds(self, snapshot: Activity) -> float:
        """Give what reading the TCP table took us, off the event loop."""
        return 0.0 if snapshot.tcp is None else snapshot.tcp.own_seconds

    def complaint(self, snapshot: Activity, connection: Connection) -> PrivilegeError | None:
        """Tell that other roles' sessions are hidden."""
        if not snapshot.limited:
            return None
        return PrivilegeError(
            "the sessions of other roles are hidden: no connection is counted",
            cure=grant_monitor(connection),
        )


class SettingsRead(Read[Configuration]):
    """What a server is, and its timeouts; what our own login hides of them is missing."""

    def __init__(self, options: Options, logins: Logins) -> None:
        collectors = [collector(options) for collector in SETTINGS]
        super().__init__("settings", read_configuration, [*collectors, Timeouts(options, logins)])

    def complaint(self, snapshot: Configuration, connection: Connection) -> OverriddenError | None:
        """Tell which of the server's timeouts are hidden."""
        return overridden(snapshot, connection)


# The server cannot be stopped while it reads its texts, so that we have to let go of it.
TEXTS_AGAIN: Final = 900.0


class StatementsRead(Read[Statements]):
    """The statements; where the server cannot give their texts, these are missing.

    Where that takes longer than a poll may, it is not tried again for a quarter of an hour.
    """

    def __init__(self, options: Options) -> None:
        self._statements = StatementMeans(options)
        self._missing: PollError | None = None
        self._asked_at: float | None = None  # on the server's clock, as the next one
        self._put_off_at: float | None = None
        super().__init__("statements", self._read, [self._statements])

    async def _read(self, connection: Connection) -> Statements:
        self._asked_at = None
        try:
            snapshot, missing = await read_statements(connection, self._choose)
        except PollTimeoutError:
            self._put_off()
            raise
        self._missing = missing if self._put_off_at is None else slow_texts()
        return snapshot

    def _put_off(self) -> None:
        if self._asked_at is not None:
            self._put_off_at = self._asked_at

    def _choose(
        self, now: float, rows: tuple[StatementRow, ...], info: StatementsInfo | None
    ) -> Collection[int]:
        """Select the statements, and give the queryids whose texts are asked for now."""
        needed = self._statements.choose(now, rows, info)
        if self._put_off_at is not None and abs(now - self._put_off_at) < TEXTS_AGAIN:
            return ()
        self._put_off_at, self._asked_at = None, now if needed else None
        return needed

    def complaint(self, snapshot: Statements, connection: Connection) -> PollError | None:
        """Tell why texts are missing."""
        del snapshot, connection
        return self._missing


def postgresql_reads(options: Options, poolers: Collection[Pooler] = ()) -> tuple[Read[Any], ...]:
    """Give every read of a PostgreSQL target, the activity first.

    `poolers` are the watched PgBouncers in front of it.
    """
    activity = ActivityRead(options, poolers)
    return (
        activity,
        SettingsRead(options, activity.logins),
        Read("databases", read_databases, [collector(options) for collector in DATABASES]),
        StatementsRead(options),
        Read("replication", read_replication, [collector(options) for collector in REPLICATION]),
    )
