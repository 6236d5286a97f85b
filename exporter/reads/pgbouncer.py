"""The reads of a PgBouncer target."""

from collections.abc import Iterator
from typing import Any

from exporter.collectors import (
    PGBOUNCER_POOLS,
    PGBOUNCER_SETTINGS,
    PGBOUNCER_TRAFFIC,
    Options,
)
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Sample
from exporter.reads.base import ACTIVITY_READ, Read
from exporter.server.pgbouncer import read_pgbouncer_configuration, read_pools, read_traffic
from exporter.snapshot.pgbouncer import Pools


class PoolsRead(Read[Pools]):
    """The pools; what they hold is told to the PostgreSQL target behind them too."""

    def __init__(self, options: Options, pooler: Pooler) -> None:
        super().__init__(
            ACTIVITY_READ, read_pools, [collector(options) for collector in PGBOUNCER_POOLS]
        )
        self._pooler = pooler

    def collect(self, snapshot: Pools) -> Iterator[Sample]:
        """Yield the samples of every collector."""
        self._pooler.tell(snapshot.servers)
        yield from super().collect(snapshot)

    def interrupt(self) -> None:
        """Tell the collectors, and who listens, that the next snapshot does not follow."""
        self._pooler.interrupt()
        super().interrupt()


def pgbouncer_reads(options: Options, pooler: Pooler) -> tuple[Read[Any], ...]:
    """Give every read of a PgBouncer target; `pooler` learns of its connections to PostgreSQL."""
    traffic = [collector(options) for collector in PGBOUNCER_TRAFFIC]
    settings = [collector(options) for collector in PGBOUNCER_SETTINGS]
    return (
        PoolsRead(options, pooler),
        # PgBouncer has one thread, and with 10,000 clients SHOW CLIENTS is dear: not each second.
        Read("databases", read_traffic, traffic),
        Read("settings", read_pgbouncer_configuration, settings),
    )
