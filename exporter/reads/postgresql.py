"""The reads of a PostgreSQL target."""

from collections.abc import Iterator, Sequence
from typing import Any

from exporter.collectors import ACTIVITY, DATABASES, REPLICATION, SETTINGS, Options, StatementMeans
from exporter.collectors.polling import PRIVILEGES_LIMITED
from exporter.diagnosis.clients import Clients
from exporter.diagnosis.poolers import Pooler
from exporter.diagnosis.sightings import Observer
from exporter.exposition import Sample
from exporter.reads.base import ACTIVITY_READ, Read
from exporter.server.activity import read_activity
from exporter.server.connection import Connection
from exporter.server.databases import read_databases
from exporter.server.errors import PrivilegeError
from exporter.server.replication import read_replication
from exporter.server.settings import read_configuration
from exporter.server.statements import grant_monitor, read_statements
from exporter.snapshot import Activity, Statements


class ActivityRead(Read[Activity]):
    """The sessions; where other roles' are hidden, nothing is said rather than a part."""

    def __init__(self, options: Options, poolers: Sequence[Pooler]) -> None:
        super().__init__(ACTIVITY_READ, read_activity, ())
        del poolers
        self._observer = Observer(Clients(options.groups), options.connection_labels)
        self._watchers = tuple(collector(options) for collector in ACTIVITY)

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


def postgresql_reads(options: Options, poolers: Sequence[Pooler] = ()) -> tuple[Read[Any], ...]:
    """Give every read of a PostgreSQL target, the activity first.

    `poolers` are the watched PgBouncers in front of it.
    """
    statements = StatementMeans(options)

    async def fetch_statements(connection: Connection) -> Statements:
        return await read_statements(connection, statements.choose)

    return (
        ActivityRead(options, poolers),
        Read("settings", read_configuration, [collector(options) for collector in SETTINGS]),
        Read("databases", read_databases, [collector(options) for collector in DATABASES]),
        Read("statements", fetch_statements, [statements]),
        Read("replication", read_replication, [collector(options) for collector in REPLICATION]),
    )
