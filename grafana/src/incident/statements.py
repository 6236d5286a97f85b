"""Which statement is slow, and whether it was before."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import CLEAR, Column, Query, Table, Word, to
from grafana.src.incident.columns import DATABASE, TARGET
from grafana.src.pg_stat_statements import RECENT, STATEMENT, with_text
from grafana.src.shared import complete

# Faster than a millisecond is nobody's trouble, and all that the exporter asks itself.
_SLOWEST: Final = f"topk(10, {RECENT} > 0.001)"
_BEFORE: Final = RECENT.replace("[10m]", "[10m] offset $compare")


def _of_slowest(expr: str) -> str:
    return with_text(complete(expr, _SLOWEST, STATEMENT))


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
        Query(expr=with_text(_SLOWEST)),
        Query(expr=_of_slowest(_BEFORE)),
        Query(expr=_of_slowest(f"{_SLOWEST} / on ({STATEMENT}) ({_BEFORE} > 0)")),
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
