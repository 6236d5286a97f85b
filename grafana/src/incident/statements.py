"""Which statement is slow, and whether it was before."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import CLEAR, Column, Query, Table, Word, to
from grafana.src.incident.columns import DATABASE, TARGET

_STATEMENT = "target, datname, usename, queryid"
_MEANS = f"max by ({_STATEMENT}) (avg_over_time(pgconn_statement_recent_mean_seconds[10m]))"
# Faster than a millisecond is nobody's trouble, and all that the exporter asks itself.
_SLOWEST = f"topk(10, {_MEANS} > 0.001)"
_BEFORE = _MEANS.replace("[10m]", "[10m] offset $compare")


def _with_text(expr: str) -> str:
    """Name a statement by its text."""
    return f"""\
({expr})
* on ({_STATEMENT}) group_left (query)
topk by ({_STATEMENT}) (1, max by ({_STATEMENT}, query) (pgconn_statement_info))"""


STATEMENTS: Final = Table(
    title="Slowest statements",
    question="Which statement is slow, and was it before?",
    meaning=(
        "Mean of the calls of the last ten minutes, and of as many so long ago as is chosen"
        " above; 0 where it was not called then."
    ),
    then=(
        "If its factor is high, its plan or its tables changed: EXPLAIN it (runbook"
        " PostgresStatementSlower). A click on it leads to its course."
    ),
    queries=(
        Query(expr=_with_text(_SLOWEST)),
        Query(
            expr=_with_text(
                f"{_BEFORE}\nand on ({_STATEMENT})\n{_SLOWEST}"
                f"\nor on ({_STATEMENT})\n0 * {_SLOWEST}"
            )
        ),
        Query(
            expr=_with_text(
                f"{_SLOWEST}\n/ on ({_STATEMENT})\n({_BEFORE} > 0)"
                f"\nor on ({_STATEMENT})\n0 * {_SLOWEST}"
            )
        ),
    ),
    unit="short",
    width=24,
    height=7,
    columns=(
        TARGET,
        Column(
            name="query",
            title="Statement",
            links=(to(Dashboard.LOAD, "target", row=True),),
        ),
        Column(name="usename", title="User", width=120),
        DATABASE,
        Column(name="queryid", title="queryid", width=190),
        Column(name="A", title="Mean now", unit="s", width=105),
        Column(name="B", title="Before", unit="s", width=90),
        Column(
            name="C",
            title="Factor",
            unit="short",
            width=75,
            words={0: Word("new", CLEAR)},
            base=CLEAR,
            decimals=1,
        ),
    ),
    order="Mean now",
    empty="No statement takes a millisecond",
)
"""A row for each slow statement, the slowest first."""
