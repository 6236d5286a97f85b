"""What a read is: one kind of look at a target, with an interval of its own."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Generic, TypeVar

from exporter.collectors.base import Collector
from exporter.exposition import Sample
from exporter.server.connection import Connection
from exporter.server.errors import PollError

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

    def own_seconds(self, snapshot: Snapshot) -> float:
        """Give the processor time that the fetch cost us outside of the event loop."""
        del snapshot
        return 0.0

    def complaint(self, snapshot: Snapshot, connection: Connection) -> PollError | None:
        """Tell what is missing from a snapshot that was read all the same."""
        del snapshot, connection
        return None
