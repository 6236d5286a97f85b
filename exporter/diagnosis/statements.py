"""Which statements are slow: over their life, and lately; and which of them are worth showing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import NamedTuple

from exporter.snapshot import StatementRow

STICKY_SECONDS = 900.0
"""How long a statement stays after it drops out of the ranking, so that graphs have no holes."""


class StatementKey(NamedTuple):
    """What a statement is told apart by: nested and top-level calls count together."""

    datname: str
    usename: str
    queryid: int


class _Entry(NamedTuple):
    """What one entry of pg_stat_statements is told apart by."""

    userid: int
    dbid: int
    queryid: int
    toplevel: bool


@dataclass(slots=True)
class StatementFigures:
    """The figures of a statement since its reset, and of the last window. Times in seconds."""

    calls: int = 0
    seconds: float = 0.0
    rows: int = 0
    recent_calls: int = 0
    recent_seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Give the mean of all calls since the last reset."""
        return self.seconds / self.calls

    @property
    def recent_mean(self) -> float | None:
        """Give the mean of the calls in the last window, if there were any."""
        return self.recent_seconds / self.recent_calls if self.recent_calls else None


def recent(row: StatementRow, before: StatementRow | None) -> tuple[int, float]:
    """Give the calls and seconds of an entry since an earlier look at it.

    An entry that is new, was reset, or was thrown out and came back has counted from zero since;
    from extension version 1.11 on it says so, before that a counter of it has gone down.
    """
    if before is None or before.stats_since != row.stats_since or _fell(row, before):
        return row.calls, row.seconds
    return row.calls - before.calls, row.seconds - before.seconds


def _fell(row: StatementRow, before: StatementRow) -> bool:
    return row.calls < before.calls or row.seconds < before.seconds or row.rows < before.rows


class StatementHistory:
    """Follow pg_stat_statements from one look to the next."""

    def __init__(self) -> None:
        self._before: dict[_Entry, StatementRow] | None = None
        self._reset_at: float | None = None

    def interrupt(self) -> None:
        """Forget the last look: the next one starts anew, as after a restart of the server."""
        self._before = None

    def advance(
        self, rows: Iterable[StatementRow], reset_at: float | None = None
    ) -> dict[StatementKey, StatementFigures]:
        """Take what is there now, and give the figures of each statement.

        `reset_at` is when all statistics were last reset (extension version 1.9 on).
        """
        before, now = self._before, {_Entry(*row[:4]): row for row in rows}
        if before is not None and self._reset_at not in {None, reset_at}:
            before = {}
        self._before, self._reset_at = now, reset_at
        figures: defaultdict[StatementKey, StatementFigures] = defaultdict(StatementFigures)
        for entry, row in now.items():
            figure = figures[StatementKey(row.datname or "", row.usename or "", row.queryid)]
            figure.calls += row.calls
            figure.seconds += row.seconds
            figure.rows += row.rows
            if before is not None:
                calls, seconds = recent(row, before.get(entry))
                figure.recent_calls += calls
                figure.recent_seconds += seconds
        return dict(figures)


Ranking = Callable[[StatementFigures], float]
RANKINGS: tuple[Ranking, ...] = (
    lambda figures: figures.mean,
    lambda figures: figures.recent_mean or 0.0,
    lambda figures: figures.recent_seconds,
)


def leaders(
    figures: Mapping[StatementKey, StatementFigures], ranking: Ranking, top: int
) -> list[StatementKey]:
    """Give the first statements of a ranking; those that have nothing to show are not in it."""
    scored = ((ranking(figure), key) for key, figure in figures.items())
    return [key for _, key in nlargest(top, (pair for pair in scored if pair[0] > 0))]


class Selection:
    """The exported statements: the first of each ranking, and those that lately were."""

    def __init__(self, top: int, limit: int) -> None:
        """Take how many statements of each ranking are exported, and how many in all."""
        self._top, self._limit = top, limit
        self._last_led: dict[StatementKey, float] = {}

    def select(
        self, now: float, figures: Mapping[StatementKey, StatementFigures]
    ) -> dict[StatementKey, StatementFigures]:
        """Give the statements to export at a time, of those that are still there."""
        # The clock of the server that is there now may be behind that of the one before it.
        self._last_led = {key: min(led, now) for key, led in self._last_led.items()}
        for ranking in RANKINGS:
            self._last_led.update(dict.fromkeys(leaders(figures, ranking, self._top), now))
        sticky = [
            (key, led)
            for key, led in self._last_led.items()
            if now - led <= STICKY_SECONDS and key in figures
        ]
        newest = sorted(sticky, key=lambda pair: (-pair[1], pair[0]))
        self._last_led = dict(newest[: self._limit])
        return {key: figures[key] for key in self._last_led}
