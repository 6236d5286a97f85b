"""Who waits behind the root blockers, and for how long."""

from typing import Final

from grafana.src.blocking.sessions import CLIENT, CONNECTIONS, TARGET, USER
from grafana.src.house import GREY, Column, Query, Row, Table, TimeSeries, orange
from grafana.src.shared import OTHERS, added_up

_BLOCKED: Final = f"pgconn_blocked_connections{{{OTHERS}}}"
_WAITING: Final = "target, client, usename, datname"

VICTIMS: Final = Row(
    "Who waits behind them?",
    (
        Table(
            title="Blocked sessions",
            question="Whose sessions wait for a lock, how many, and for how long?",
            meaning="They look slow, and are victims. Before PostgreSQL 14 it is an upper bound.",
            then=(
                "Leave them, and act on the root blocker above. The longest wait is orange where"
                " it opens a ticket: runbook PostgresLockWaitLong."
            ),
            queries=(
                Query(expr=added_up(_WAITING, _BLOCKED)),
                Query(expr=f"max by ({_WAITING}) (pgconn_lock_wait_max_seconds{{{OTHERS}}})"),
            ),
            unit="short",
            width=12,
            columns=(
                TARGET,
                CLIENT,
                USER,
                Column(name="datname", title="Database"),
                Column(name="A", title="Blocked", unit="short", width=100),
                Column(
                    name="B",
                    title="Longest wait",
                    unit="s",
                    width=120,
                    decimals=0,
                    steps=(orange("lock_wait"),),
                ),
            ),
            order="Blocked",
            empty="Nobody waits for a lock",
        ),
        TimeSeries(
            title="Sessions that wait for a lock",
            question="How many wait for a lock, since when, and does it grow?",
            meaning="All of a target's, and each client's. Orange opens a ticket.",
            then="Find who is in their way, above: runbook PostgresSessionsBlocked.",
            queries=(
                Query(
                    expr=added_up("target", _BLOCKED),
                    legend="{{target}} in all",
                    colour=GREY,
                    linked=False,
                ),
                Query(
                    expr=added_up("target, client", _BLOCKED),
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            steps=(orange("blocked_many"),),
            empty="Nobody waits for a lock",
            links=(CONNECTIONS,),
            decimals=0,
        ),
        TimeSeries(
            title="Longest wait for a lock",
            question="For how long has somebody waited?",
            meaning="Orange opens a ticket.",
            then=(
                "What wants a whole table (ALTER TABLE) lets nobody pass: end that one first,"
                " runbook PostgresLockWaitLong."
            ),
            queries=(
                Query(
                    expr=f"max by (target, client) (pgconn_lock_wait_max_seconds{{{OTHERS}}})",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=8,
            height=7,
            steps=(orange("lock_wait"),),
            empty="Nobody waits for a lock",
            wide_legend=False,
            links=(CONNECTIONS,),
        ),
        TimeSeries(
            title="Depth of the chain",
            question="Do those who wait make others wait?",
            meaning="1: all wait for the root blocker. More: some wait for one who waits himself.",
            then="End the root blocker, not the links between: it frees all of them.",
            queries=(
                Query(
                    expr="max by (target) (pgconn_blocking_depth_max)",
                    legend="{{target}}",
                ),
            ),
            unit="short",
            width=8,
            height=7,
            empty="Unknown",
            wide_legend=False,
            decimals=0,
        ),
        TimeSeries(
            title="Deadlocks within 15 minutes",
            question="Do transactions take the same locks in different orders?",
            meaning="The server ended one of each pair (SQLSTATE 40P01). Orange opens a ticket.",
            then=(
                'Look for "deadlock detected" in the server\'s log, which has both statements:'
                " runbook PostgresDeadlocks."
            ),
            queries=(
                Query(
                    expr=added_up(
                        "target, datname", "increase(pgconn_database_deadlocks_total[15m])"
                    ),
                    legend="{{target}} {{datname}}",
                ),
            ),
            unit="short",
            width=8,
            height=7,
            steps=(orange("deadlocks"),),
            empty="Unknown",
            wide_legend=False,
        ),
    ),
)
"""Who waits for a lock, how deep the chain is, and deadlocks."""
