"""The reads of a PostgreSQL target: what each fetches, and the collectors that take it."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

from exporter.collectors import ACTIVITY, DATABASES, SETTINGS, Options, StatementMeans
from exporter.collectors.base import Collector
from exporter.collectors.polling import PRIVILEGES_LIMITED
from exporter.diagnosis.clients import Clients
from exporter.diagnosis.sightings import Observer, Sighting
from exporter.exposition import Sample
from exporter.server.activity import read_activity
from exporter.server.connection import Connection
from exporter.server.errors import PrivilegeError
from exporter.server.settings import read_limits, read_settings
from exporter.server.statements import grant_monitor, read_statements
from exporter.snapshot import Activity, Statements

ACTIVITY_READ: Final = "activity"
"""The read that opens the connection, and by which a target is up."""

Snapshot = TypeVar("Snapshot")


class Read(Generic[Snapshot]):
    """One read of a target: fetch a snapshot, and make samples of it."""

    def __init__(
        self,
        name: str,
        fetch: Callable[[Connection], Awaitable[Snapshot]],
        collectors: Sequence[Collector[Snapshot]],
    ) -> None:
        self.name = name
        self.fetch = fetch
        self._collectors = collectors

    def collect(self, snapshot: Snapshot) -> Iterable[Sample]:
        """Yield the samples of every collector."""
        return (sample for collector in self._collectors for sample in collector.collect(snapshot))

    def interrupt(self) -> None:
        """Tell the collectors that the next snapshot does not follow the last one."""
        for collector in self._collectors:
            collector.interrupt()

    def server_seconds(self, snapshot: Snapshot, elapsed: float) -> float:
        """Give what the fetch cost the server, at most: the time it took, with the network's."""
        del snapshot
        return elapsed

    def complaint(self, snapshot: Snapshot, connection: Connection) -> PrivilegeError | None:
        """Tell what is missing from a snapshot that was read all the same."""
        del snapshot, connection
        return None


class ActivityRead(Read[Activity]):
    """The sessions; where other roles' are hidden, nothing is said rather than a part."""

    def __init__(self, options: Options) -> None:
        super().__init__(ACTIVITY_READ, read_activity, ())
        self._observer = Observer(Clients(options.groups), options.connection_labels)
        self._watchers: tuple[Collector[Sighting], ...] = tuple(
            collector(options) for collector in ACTIVITY
        )

    def collect(self, snapshot: Activity) -> Iterator[Sample]:
        """Yield the samples of every collector, of connections with their clients named."""
        yield Sample(PRIVILEGES_LIMITED, (), int(snapshot.limited))
        if snapshot.limited:
            self.interrupt()
            return
        sighting = self._observer.observe(snapshot)
        for collector in self._watchers:
            yield from collector.collect(sighting)

    def interrupt(self) -> None:
        """Tell the collectors that the next snapshot does not follow the last one."""
        for collector in self._watchers:
            collector.interrupt()

    def server_seconds(self, snapshot: Activity, elapsed: float) -> float:
        """Give what the server itself says that it took."""
        return min(elapsed, snapshot.server_seconds)

    def complaint(self, snapshot: Activity, connection: Connection) -> PrivilegeError | None:
        """Tell that other roles' sessions are hidden."""
        if not snapshot.limited:
            return None
        return PrivilegeError(
            "the sessions of other roles are hidden: no connection is counted",
            cure=grant_monitor(connection),
        )


def postgresql_reads(options: Options) -> tuple[Read[Any], ...]:
    """Give every read of a PostgreSQL target, the activity first."""
    statements = StatementMeans(options)

    async def fetch_statements(connection: Connection) -> Statements:
        return await read_statements(connection, statements.choose)

    return (
        ActivityRead(options),
        Read("settings", read_settings, [collector(options) for collector in SETTINGS]),
        Read("databases", read_limits, [collector(options) for collector in DATABASES]),
        Read("statements", fetch_statements, [statements]),
    )
