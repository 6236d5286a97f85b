"""What a collector is, and how it declares its metrics."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, TypeVar

from exporter.diagnosis.clients import Group
from exporter.exposition import Fold, Kind, Metric, Sample

Snapshot = TypeVar("Snapshot")
Labels = TypeVar("Labels", bound=tuple[str, ...])

# Clients, or the data, choose these values: the series limit may fold them.
OPEN_LABELS: Final = frozenset(
    {
        "application_name",
        "client_addr",
        "database",
        "datname",
        "query",
        "queryid",
        "usename",
        "user",
        "wait_event",
    }
)


@dataclass(frozen=True, slots=True)
class Options:
    """What the collectors of a target need to know. Times in seconds.

    `pool_sizes`, `request_timeouts` and `idle_timeouts` are by client, of those that have one.
    `proc` tells that the TCP table of the server's host is read, `server` names the target
    behind a PgBouncer.
    """

    groups: tuple[Group, ...] = ()
    pool_sizes: Mapping[str, int] = field(default_factory=dict)
    request_timeouts: Mapping[str, float] = field(default_factory=dict)
    idle_timeouts: Mapping[str, float] = field(default_factory=dict)
    idle_after: float = 900.0
    idle_in_transaction_after: float = 60.0
    proc: bool = False
    server: str = ""
    connection_labels: tuple[str, ...] = ("client_addr", "usename", "application_name", "datname")
    slow_query_after: float = 5.0
    peak_window: float = 60.0
    statements_top: int = 20
    text_length: int = 200
    max_series: int = 1000


class Collector(ABC, Generic[Snapshot]):
    """Read snapshots of one kind, of one target, and yield samples.

    One file a collector, its metrics declared on top. State is kept only where a metric is about
    more than one snapshot (a peak, a counter).
    """

    metrics: ClassVar[tuple[Metric, ...]]

    def __init__(self, options: Options) -> None:
        self.options = options

    @abstractmethod
    def collect(self, snapshot: Snapshot) -> Iterable[Sample]:
        """Yield the samples of a snapshot."""

    def interrupt(self) -> None:
        """Learn that a poll failed: the next snapshot does not follow the last one."""


def gauge(name: str, text: str, labels: Iterable[str] = (), fold: Fold = Fold.SUM) -> Metric:
    """Declare a gauge."""
    return _metric(name, Kind.GAUGE, text, labels, fold)


def counter(name: str, text: str, labels: Iterable[str] = (), fold: Fold = Fold.SUM) -> Metric:
    """Declare a counter."""
    return _metric(name, Kind.COUNTER, text, labels, fold)


def _metric(name: str, kind: Kind, text: str, labels: Iterable[str], fold: Fold) -> Metric:
    names = tuple(labels)
    return Metric(name, kind, text, names, fold, OPEN_LABELS.intersection(names))


def samples(metric: Metric, values: Mapping[Labels, float]) -> Iterator[Sample]:
    """Yield a sample for each set of label values."""
    return (Sample(metric, labels, value) for labels, value in values.items())
