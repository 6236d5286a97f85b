"""How long queries had a server connection, from totals that contain their wait for one.

PgBouncer adds to total_wait_time when a client gets its connection, and to total_query_time when
the query ends, from its arrival on. So the difference goes down while a query that has waited
runs, and for good when its client vanishes. Of a counter that goes down Prometheus thinks that it
began anew, and adds all of it: what is told never goes down, but where PgBouncer restarted.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from exporter.snapshot.pgbouncer import TotalsRow


class Served(NamedTuple):
    """Seconds that queries and transactions had a server connection."""

    query_seconds: float
    transaction_seconds: float


NOTHING: Final = Served(0.0, 0.0)


class _Watched(NamedTuple):
    """The last totals of a database, from where on we count, and what was told."""

    totals: TotalsRow
    base: Served
    told: Served


class ServedSeconds:
    """Two counters for each database.

    They count from when we first look, or from PgBouncer's start where that is later: our own
    restart in such a dip must not look like PgBouncer's.
    """

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] | None = None

    def take(self, rows: Iterable[TotalsRow]) -> dict[str, Served]:
        """Take the totals of all databases, and give the counters of each."""
        self._watched = {row.database: self._follow(row) for row in rows}
        return {database: watched.told for database, watched in self._watched.items()}

    def _follow(self, row: TotalsRow) -> _Watched:
        now = _difference(row)
        if self._watched is None:
            return _Watched(row, now, NOTHING)
        last = self._watched.get(row.database)
        if last is None or _began_anew(last.totals, row):
            last = _Watched(row, NOTHING, NOTHING)
        return _Watched(
            row,
            last.base,
            Served(
                max(last.told.query_seconds, now.query_seconds - last.base.query_seconds),
                max(
                    last.told.transaction_seconds,
                    now.transaction_seconds - last.base.transaction_seconds,
                ),
            ),
        )


def _difference(row: TotalsRow) -> Served:
    return Served(row.query_seconds - row.wait_seconds, row.transaction_seconds - row.wait_seconds)


def _began_anew(before: TotalsRow, now: TotalsRow) -> bool:
    """Tell whether a total has gone down, which it only does by beginning anew."""
    return any(new < old for old, new in zip(before[1:], now[1:], strict=True))
