"""Who is in the way of others, and waits for nobody."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import CLEAR, Column, Query, Table, Word, red, to
from grafana.src.incident.columns import DATABASE, TARGET
from grafana.src.shared import RESTING

_BLOCKER = "target, client, usename, application_name, client_addr, datname, state"
_SESSION = "target, client, usename, application_name, datname"
_VICTIMS = f"topk(20, max by ({_BLOCKER}) (pgconn_root_blocker_victims))"
_VICTIMS_OF_RESTING = f"""\
0 * max by ({_BLOCKER}) (pgconn_root_blocker_victims{{{RESTING}}})
+ on ({_SESSION}) group_left ()
max by ({_SESSION}) (
  sum by (job, instance, {_SESSION}) (pgconn_root_blocker_victims{{{RESTING}}})
)"""

ROOT_BLOCKERS: Final = Table(
    title="Root blockers",
    question="Who is in the way of others, and waits for nobody?",
    meaning="The last column counts the victims of one that does nothing: red pages.",
    then=(
        "End or finish the first one, never its victims (runbook PostgresRootBlockerIdle;"
        " of one that works, PostgresSessionsBlocked). A click on it leads to its locks."
    ),
    queries=(
        Query(expr=_VICTIMS),
        Query(
            expr=f"""\
max by ({_BLOCKER}) (pgconn_root_blocker_age_max_seconds)
and on ({_BLOCKER})
{_VICTIMS}
or on ({_BLOCKER})
0 * {_VICTIMS}"""
        ),
        Query(
            expr=f"""\
({_VICTIMS_OF_RESTING})
and on ({_BLOCKER})
{_VICTIMS}
or on ({_BLOCKER})
0 * {_VICTIMS}"""
        ),
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
