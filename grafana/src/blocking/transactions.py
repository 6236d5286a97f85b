"""Which transactions stay open, and keep their locks."""

from typing import Final

from grafana.src.blocking.sessions import (
    APPLICATION,
    CLIENT,
    CONNECTIONS,
    DATABASE,
    STATE,
    TARGET,
    USER,
)
from grafana.src.house import Column, Query, Row, Table, TimeSeries, orange
from grafana.src.shared import OTHERS, SESSION

_TRANSACTION: Final = f"{SESSION}, state"

TRANSACTIONS: Final = Row(
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
  pgconn_transaction_age_max_seconds{{{OTHERS}}}
))"""
                ),
            ),
            unit="s",
            width=24,
            height=7,
            columns=(
                TARGET,
                CLIENT,
                USER,
                APPLICATION,
                DATABASE,
                STATE,
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
                        f"max by (target, client) (pgconn_transaction_age_max_seconds{{{OTHERS}}})"
                    ),
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=12,
            steps=(orange("transaction_age"),),
            empty="No transaction is open",
            links=(CONNECTIONS,),
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
  pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {OTHERS}}}
)""",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="s",
            width=12,
            steps=(orange("idle_in_transaction"),),
            empty="Nobody is idle in a transaction",
            links=(CONNECTIONS,),
        ),
    ),
)
"""The oldest transactions, and the longest that do nothing."""
