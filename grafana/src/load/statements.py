"""Which statement it is: which is slow, since when, and which keep the server busy."""

from typing import Final

from grafana.src.house import CLEAR, Column, Query, Row, Table, TimeSeries, Word, orange
from grafana.src.pg_stat_statements import (
    LEAST,
    LEGEND,
    RECENT,
    SECONDS,
    STATEMENT,
    legible,
    with_text,
)
from grafana.src.shared import complete

_RECENT_BEFORE: Final = f"""\
max by ({STATEMENT}) (
  avg_over_time(pgconn_statement_recent_mean_seconds[1h] offset $compare)
)"""
_CALLS: Final = f"max by ({STATEMENT}) (rate(pgconn_statement_calls_total[$__rate_interval]))"
_SLOWEST: Final = f"topk(30, {RECENT})"

_NOTHING: Final = {0: Word("-", CLEAR)}


def _of_slowest(expr: str) -> str:
    """Give a number for each of the slowest statements, 0 where there is none."""
    return with_text(complete(expr, _SLOWEST, STATEMENT))


STATEMENTS: Final = Row(
    "Which statement is it?",
    (
        Table(
            title="Slowest statements",
            question="Which statement is slow, and slower than it was?",
            meaning=(
                "The 30 slowest by the mean of their calls in the last ten minutes, beside an hour"
                " as long ago as is chosen above (-: not called then). How many times as long is"
                " told for those that take more than @{statement_mean.words} now: orange, against"
                " the day before, opens a ticket."
            ),
            then=(
                "Slower alone, since a deploy: take it back, or add the index. Slower without one:"
                " ANALYZE its tables, then EXPLAIN it (runbook PostgresStatementSlower)."
            ),
            queries=(
                Query(expr=with_text(_SLOWEST)),
                Query(expr=_of_slowest(_RECENT_BEFORE)),
                Query(
                    expr=_of_slowest(
                        f"({RECENT} > @{{statement_mean}})\n"
                        f"/ on ({STATEMENT})\n({_RECENT_BEFORE} > 0)"
                    )
                ),
                Query(expr=_of_slowest(_CALLS)),
                Query(
                    expr=_of_slowest(
                        f"{SECONDS}\n/ on (target) group_left ()\n(sum by (target) ({SECONDS}) > 0)"
                    )
                ),
            ),
            unit="s",
            width=24,
            height=10,
            every=LEAST,
            columns=(
                Column(name="target", title="Target", width=90),
                Column(name="usename", title="User", width=120),
                Column(name="datname", title="Database", width=90),
                Column(name="query", title="Statement"),
                Column(name="queryid", title="queryid", width=180),
                Column(name="A", title="Recent mean", unit="s", width=125),
                Column(name="B", title="Before", unit="s", width=90, base=CLEAR, words=_NOTHING),
                Column(
                    name="C",
                    title="Times as long",
                    unit="short",
                    width=110,
                    decimals=1,
                    steps=(orange("statement_factor"),),
                    base=CLEAR,
                    words=_NOTHING,
                ),
                Column(name="D", title="Calls", unit="reqps", width=95),
                Column(
                    name="E",
                    title="Of all time",
                    unit="percentunit",
                    width=120,
                    decimals=1,
                    bar=True,
                    top=1,
                ),
            ),
            order="Recent mean",
            empty="No statement was called, or pg_stat_statements is not there",
        ),
        TimeSeries(
            title="Recent mean by statement",
            question="When did a statement become slow?",
            meaning=(
                "Over ten minutes each. The end of a name is that of its queryid. Dashed: as long"
                " ago as is chosen above."
            ),
            then=(
                "At once: what was deployed then, or which plan changed? Bit by bit: its table"
                " grows. All at once: it is not the statement, see what the sessions wait for."
            ),
            queries=(
                Query(
                    expr=legible(f"topk(5, {RECENT})"),
                    legend=LEGEND,
                ),
                Query(
                    expr=legible(f"""\
max by ({STATEMENT}) (
  avg_over_time(pgconn_statement_recent_mean_seconds[10m] offset $compare)
)
and on ({STATEMENT}) topk(5, {RECENT})"""),
                    legend=f"{LEGEND}, before",
                    dashed=True,
                ),
            ),
            unit="s",
            width=12,
            height=12,
            wide_legend=False,
            empty="No statement was called",
        ),
        TimeSeries(
            title="Time by statement",
            question="Which statements keep the server busy?",
            meaning=(
                "Time that their calls took, a second: the average number of sessions that ran"
                " each. Those with the largest part, quick ones too if they are called often."
            ),
            then=(
                "Mend the widest first: the same calls taking longer is its plan, more calls are"
                " more requests (table above)."
            ),
            queries=(
                Query(
                    expr=legible(f"topk(5, {SECONDS})"),
                    legend=LEGEND,
                ),
            ),
            unit="short",
            width=12,
            height=12,
            stacked=True,
            wide_legend=False,
            every=LEAST,
            empty="No statement was called",
            decimals=1,
        ),
    ),
)
"""The slowest statements against what they were, and those that take the time."""
