"""Which query is slow: pg_stat_statements, by mean over life and lately."""

from collections.abc import Iterator
from typing import Final

from exporter.collectors.base import Collector, Options, counter, gauge
from exporter.diagnosis.statements import (
    Selection,
    StatementFigures,
    StatementHistory,
    StatementKey,
)
from exporter.diagnosis.texts import safe_text
from exporter.exposition import Fold, Sample
from exporter.snapshot import StatementRow, Statements, StatementsInfo

LABELS: Final = ("datname", "usename", "queryid")

MEAN = gauge(
    "pgconn_statement_mean_seconds",
    "Mean time of a call since the statistics were last reset, as of the last poll.",
    LABELS,
    Fold.DROP,
)
RECENT_MEAN = gauge(
    "pgconn_statement_recent_mean_seconds",
    "Mean time of the calls that ended between the last two polls; absent where there were none.",
    LABELS,
    Fold.DROP,
)
CALLS = counter(
    "pgconn_statement_calls_total", "Calls of an exported statement.", LABELS, Fold.DROP
)
SECONDS = counter(
    "pgconn_statement_seconds_total",
    "Time that the calls of an exported statement took to execute.",
    LABELS,
    Fold.DROP,
)
ROWS = counter(
    "pgconn_statement_rows_total",
    "Rows that an exported statement gave or changed.",
    LABELS,
    Fold.DROP,
)
INFO = gauge(
    "pgconn_statement_info",
    "1; the normalised text of an exported statement, without literals and comments; of a utility"
    " statement its command words alone. As of the last poll.",
    [*LABELS, "query"],
    Fold.DROP,
)
RESET_TIMESTAMP = gauge(
    "pgconn_statements_reset_timestamp_seconds",
    "When all statistics of pg_stat_statements were last reset, in seconds since the epoch (14"
    " on). As of the last poll.",
)
EVICTED = counter(
    "pgconn_statements_evicted_total",
    "How often pg_stat_statements was full and threw out its least used entries, which then count"
    " from zero again (14 on).",
)


class StatementMeans(Collector[Statements]):
    """Tell the slowest statements."""

    metrics = (MEAN, RECENT_MEAN, CALLS, SECONDS, ROWS, INFO, RESET_TIMESTAMP, EVICTED)

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._history = StatementHistory()
        self._selection = Selection(options.statements_top, options.max_series)
        self._selected: dict[StatementKey, StatementFigures] = {}
        self._texts: dict[int, str] = {}

    def interrupt(self) -> None:
        """Forget the last look: the server may have been replaced meanwhile.

        The texts too, since another server may give the same queryid to another statement: it is
        made of the numbers of tables.
        """
        self._history.interrupt()
        self._texts.clear()

    def choose(
        self, now: float, rows: tuple[StatementRow, ...], info: StatementsInfo | None = None
    ) -> set[int]:
        """Select the statements to export, and give the queryids whose texts we lack."""
        figures = self._history.advance(rows, None if info is None else info.reset_at)
        self._selected = self._selection.select(now, figures)
        needed = {key.queryid for key in self._selected}
        self._texts = {queryid: self._texts[queryid] for queryid in needed & self._texts.keys()}
        return needed - self._texts.keys()

    def collect(self, snapshot: Statements) -> Iterator[Sample]:
        """Yield the statements that `choose` selected from the same rows."""
        self._texts |= {
            queryid: safe_text(text, self.options.text_length)
            for queryid, text in snapshot.texts.items()
        }
        for key, figures in self._selected.items():
            yield from self._statement(key, figures)
        if snapshot.info is not None:
            yield Sample(RESET_TIMESTAMP, (), snapshot.info.reset_at)
            yield Sample(EVICTED, (), snapshot.info.evictions)

    def _statement(self, key: StatementKey, figures: StatementFigures) -> Iterator[Sample]:
        labels = (key.datname, key.usename, str(key.queryid))
        yield Sample(MEAN, labels, figures.mean)
        if figures.recent_mean is not None:
            yield Sample(RECENT_MEAN, labels, figures.recent_mean)
        yield Sample(CALLS, labels, figures.calls)
        yield Sample(SECONDS, labels, figures.seconds)
        yield Sample(ROWS, labels, figures.rows)
        if key.queryid in self._texts:
            yield Sample(INFO, (*labels, self._texts[key.queryid]), 1)
