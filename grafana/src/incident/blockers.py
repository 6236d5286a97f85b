"""Who is in the way of others, and waits for nobody."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import CLEAR, Column, Query, Table, Word, red, to
from grafana.src.incident.columns import DATABASE, TARGET
from grafana.src.root_blockers import AGE, BLOCKER, PAGED_FOR, VICTIMS
from grafana.src.shared import complete

_FIRST: Final = f"topk(20, {VICTIMS})"

ROOT_BLOCKERS: Final = Table(
    title="Root blockers",
    question="Who is in the way of others, and waits for nobody?",
    meaning="The last column counts the victims of one that does nothing: red pages.",
    then=(
        "End or finish the first one, never its victims (runbook PostgresRootBlockerIdle;"
        " of one that works, PostgresSessionsBlocked). A click on it leads to its locks."
    ),
    queries=(
        Query(expr=_FIRST),
        Query(expr=complete(AGE, _FIRST, BLOCKER)),
        Query(expr=complete(PAGED_FOR, _FIRST, BLOCKER)),
    ),
    unit="short",
    width=24,
    height=5,
    columns=(
        TARGET,
        Column(
            name="client",
            title="Client",
            width=140,
            links=(to(Dashboard.BLOCKING, "target", row=True),),
        ),
        Column(name="usename", title="User", width=120),
        Column(name="application_name", title="Application"),
        Column(name="client_addr", title="Address", width=130),
        DATABASE,
        Column(name="state", title="State", width=180),
        Column(name="B", title="Open for", unit="s", width=100, decimals=0),
        Column(name="A", title="Victims", unit="short", width=85),
        Column(
            name="C",
            title="Blocks, and does nothing",
            unit="short",
            width=190,
            steps=(red("root_blocker_victims"),),
            base=CLEAR,
            words={0: Word("it works", CLEAR)},
        ),
    ),
    order="Victims",
    empty="Nobody is in anybody's way",
)
"""A row for each root blocker, that of most victims first."""
