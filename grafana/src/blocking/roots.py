"""Who is in the way of others, and since when."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.blocking.sessions import (
    APPLICATION,
    CLIENT,
    CONNECTIONS,
    DATABASE,
    STATE,
    TARGET,
    USER,
)
from grafana.src.house import CLEAR, Column, Query, Row, Table, TimeSeries, Word, red, to
from grafana.src.root_blockers import AGE, BLOCKER, PAGED_FOR, VICTIMS, VICTIMS_OF_RESTING
from grafana.src.shared import added_up, complete

ROOTS: Final = Row(
    "Who is in the way?",
    (
        Table(
            title="Root blockers",
            question="Who is in the way of others, and waits for nobody?",
            meaning=(
                "Victims wait behind it, directly or indirectly. The last column counts those of"
                " one that does nothing: red pages. Whichever client is chosen, all are here."
            ),
            then=(
                "End or finish the first one, never its victims: they go on by themselves"
                " (runbook PostgresRootBlockerIdle; of one that works, PostgresSessionsBlocked)."
                " A click on the client leads to its connections."
            ),
            queries=(
                Query(expr=VICTIMS),
                Query(expr=complete(AGE, VICTIMS, BLOCKER)),
                Query(expr=complete(PAGED_FOR, VICTIMS, BLOCKER)),
            ),
            unit="short",
            width=24,
            height=7,
            columns=(
                TARGET,
                CLIENT,
                Column(name="client_addr", title="Address", width=115),
                USER,
                APPLICATION,
                DATABASE,
                STATE,
                Column(name="B", title="Open for", unit="s", width=90, decimals=0),
                Column(name="A", title="Victims", unit="short", width=90),
                Column(
                    name="C",
                    title="Does nothing, blocks",
                    unit="short",
                    width=155,
                    steps=(red("root_blocker_victims"),),
                    words={0: Word("it works", CLEAR)},
                ),
            ),
            order="Victims",
            empty="Nobody is in anybody's way",
        ),
        TimeSeries(
            title="Victims of idle root blockers",
            question="Since when does a session that does nothing hold others up?",
            meaning=(
                "It is idle in a transaction, or a prepared transaction that nobody finished. Red"
                " pages."
            ),
            then="End it: runbook PostgresRootBlockerIdle.",
            queries=(
                Query(
                    expr=f"max by (target, client) ({VICTIMS_OF_RESTING})",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            height=7,
            steps=(red("root_blocker_victims"),),
            empty="Nobody who does nothing is in the way",
            links=(CONNECTIONS,),
            decimals=0,
        ),
        TimeSeries(
            title="Victims of working root blockers",
            question="Since when does a session that works hold others up?",
            meaning="A long statement, a migration, or a process of the server such as autovacuum.",
            then=(
                "Cancel it or wait, whichever hurts less: runbook PostgresSessionsBlocked. If its"
                " queries are slow: dashboard Load and statements."
            ),
            queries=(
                Query(
                    expr=added_up(
                        "target, client",
                        'pgconn_root_blocker_victims{state!~"idle in transaction.*|prepared"}',
                    ),
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            height=7,
            empty="Nobody who works is in the way",
            links=(to(Dashboard.LOAD, "target", "client"), CONNECTIONS),
            decimals=0,
        ),
    ),
)
"""The root blockers, and the victims of idle and of working ones."""
