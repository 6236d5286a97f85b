"""Who blocks whom: the root blockers first, then who waits, then what stays open."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import (
    CLEAR,
    GREY,
    Column,
    Page,
    Query,
    Row,
    Table,
    TimeSeries,
    Word,
    orange,
    red,
    to,
)

_OTHERS = 'client!="pgconn-exporter"'
# Who holds locks and does nothing: what the alert pages for.
_RESTING = f'state=~"idle in transaction.*|prepared", {_OTHERS}'
# By what the alert counts victims, and what tells root blockers apart.
_SESSION = "target, client, usename, application_name, datname"
_BLOCKER = f"{_SESSION}, client_addr, state"

_VICTIMS = f"max by ({_BLOCKER}) (pgconn_root_blocker_victims)"
_VICTIMS_OF_RESTING = f"""\
max by ({_SESSION}) (
  sum by (job, instance, {_SESSION}) (pgconn_root_blocker_victims{{{_RESTING}}})
)"""

_CONNECTIONS = to(Dashboard.CONNECTIONS, "target", "client", row=True)
_CONNECTIONS_OF_LINE = to(Dashboard.CONNECTIONS, "target", "client")

_TARGET = Column(name="target", title="Target", width=90)
_CLIENT = Column(name="client", title="Client", width=120, links=(_CONNECTIONS,))
_USER = Column(name="usename", title="User", width=90)
_APPLICATION = Column(name="application_name", title="Application")
_DATABASE = Column(name="datname", title="Database", width=100)
_STATE = Column(name="state", title="State", width=170)

_ROOTS = Row(
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
                Query(expr=_VICTIMS),
                Query(expr=f"max by ({_BLOCKER}) (pgconn_root_blocker_age_max_seconds)"),
                Query(
                    expr=f"""\
0 * max by ({_BLOCKER}) (pgconn_root_blocker_victims{{{_RESTING}}})
+ on ({_SESSION}) group_left ()
{_VICTIMS_OF_RESTING}
or on ({_BLOCKER})
0 * {_VICTIMS}"""
                ),
            ),
            unit="short",
            width=24,
            height=7,
            columns=(
                _TARGET,
                _CLIENT,
                Column(name="client_addr", title="Address", width=115),
                _USER,
                _APPLICATION,
                _DATABASE,
                _STATE,
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
                    expr=f"max by (target, client) ({_VICTIMS_OF_RESTING})",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            height=7,
            steps=(red("root_blocker_victims"),),
            empty="Nobody who does nothing is in the way",
            links=(_CONNECTIONS_OF_LINE,),
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
                    expr="""\
max by (target, client) (
  sum by (job, instance, target, client) (
    pgconn_root_blocker_victims{state!~"idle in transaction.*|prepared"}
  )
)""",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            height=7,
            empty="Nobody who works is in the way",
            links=(to(Dashboard.LOAD, "target", "client"), _CONNECTIONS_OF_LINE),
            decimals=0,
        ),
    ),
)

_WAITING = "target, client, usename, datname"

_VICTIMS_ROW = Row(
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
                Query(
                    expr=f"""\
max by ({_WAITING}) (
  sum by (job, instance, {_WAITING}) (pgconn_blocked_connections{{{_OTHERS}}})
)"""
                ),
                Query(expr=f"max by ({_WAITING}) (pgconn_lock_wait_max_seconds{{{_OTHERS}}})"),
            ),
            unit="short",
            width=12,
            columns=(
                _TARGET,
                _CLIENT,
                _USER,
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
                    expr=f"""\
max by (target) (
  sum by (job, instance, target) (pgconn_blocked_connections{{{_OTHERS}}})
)""",
                    legend="{{target}} in all",
                    colour=GREY,
                    linked=False,
                ),
                Query(
                    expr=f"""\
max by (target, client) (
  sum by (job, instance, target, client) (pgconn_blocked_connections{{{_OTHERS}}})
)""",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=12,
            steps=(orange("blocked_many"),),
            empty="Nobody waits for a lock",
            links=(_CONNECTIONS_OF_LINE,),
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
                    expr=f"max by (target, client) (pgconn_lock_wait_max_seconds{{{_OTHERS}}})",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=8,
            height=7,
            steps=(orange("lock_wait"),),
            empty="Nobody waits for a lock",
            wide_legend=False,
            links=(_CONNECTIONS_OF_LINE,),
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
                    expr="""\
max by (target, datname) (
  sum by (job, instance, target, datname) (increase(pgconn_database_deadlocks_total[15m]))
)""",
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

_TRANSACTION = f"{_SESSION}, state"

_TRANSACTIONS = Row(
    "Which transactions stay open?",
    (
        Table(
            title="Oldest transactions",
            question="Whose transactions have been open for longest?",
            meaning=(
                "Each keeps its locks, and VACUUM removes nothing that died since it began. Orange"
                " opens a ticket."
            ),
            then=(
                "A backup or an index may take that long. For others: runbook"
                " PostgresLongTransaction."
            ),
            queries=(
                Query(
                    expr=f"""\
topk(25, max by ({_TRANSACTION}) (
  pgconn_transaction_age_max_seconds{{{_OTHERS}}}
))"""
                ),
            ),
            unit="s",
            width=24,
            height=7,
            columns=(
                _TARGET,
                _CLIENT,
                _USER,
                _APPLICATION,
                _DATABASE,
                _STATE,
                Column(
                    name="A",
                    title="Open for",
                    unit="s",
                    width=120,
                    decimals=0,
                    steps=(orange("transaction_age"),),
                ),
            ),
            order="Open for",
            empty="No transaction is open",
        ),
        TimeSeries(
            title="Oldest transaction",
            question="Do transactions become older and older?",
            meaning="Orange opens a ticket.",
            then="See whose it is, in the table above: runbook PostgresLongTransaction.",
            queries=(
                Query(
                    expr=(
                        f"max by (target, client) (pgconn_transaction_age_max_seconds{{{_OTHERS}}})"
                    ),
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=12,
            steps=(orange("transaction_age"),),
            empty="No transaction is open",
            links=(_CONNECTIONS_OF_LINE,),
        ),
        TimeSeries(
            title="Longest idle in transaction",
            question="Who has opened a transaction and does nothing?",
            meaning=(
                "Others may queue behind its locks at any moment; no statement_timeout ends it."
                " Orange opens a ticket."
            ),
            then=(
                "End it, and set idle_in_transaction_session_timeout: runbook"
                " PostgresIdleInTransaction."
            ),
            queries=(
                Query(
                    expr=f"""\
max by (target, client) (
  pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {_OTHERS}}}
)""",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=12,
            steps=(orange("idle_in_transaction"),),
            empty="Nobody is idle in a transaction",
            links=(_CONNECTIONS_OF_LINE,),
        ),
    ),
)

PAGE: Final = Page(
    uid=Dashboard.BLOCKING,
    title="Blocking",
    answers="Who blocks whom, and for how long.",
    rows=(_ROOTS, _VICTIMS_ROW, _TRANSACTIONS),
    clients=True,
)
