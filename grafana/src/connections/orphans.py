"""Which connections nobody needs any more, and how that is known."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.connections.clients import CLIENT, NOTHING, ORPHANS
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREY,
    PURPLE,
    YELLOW,
    Column,
    Heatmap,
    Query,
    Row,
    Table,
    TimeSeries,
    Word,
    Words,
    orange,
    red,
    to,
)
from grafana.src.shared import OTHERS, added_up, complete

_REASON: Final = "target, client, reason"
_FOUND: Final = added_up(_REASON, ORPHANS)
_RUNS_ON: Final = f'reason=~"query_outlived_client|client_gone", {OTHERS}'
_RUN_ON: Final = f"pgconn_orphaned_connections{{{_RUNS_ON}}}"
_LEFT_IDLE: Final = f'pgconn_orphaned_connections{{reason=~"idle_.+", {OTHERS}}}'
_OF_POOL: Final = (
    f"{added_up(_REASON, _RUN_ON)} * 0 + on ({CLIENT}) group_left () ("
    f"{added_up(CLIENT, _RUN_ON)} / on ({CLIENT})"
    f" max by ({CLIENT}) (pgconn_client_pool_size > 0))"
)
_REASONS: Final[Words] = {
    "client_gone": Word("client_gone: proven, safe to end", PURPLE),
    "query_outlived_client": Word("query_outlived_client: lower statement_timeout", GREY),
    "idle_in_transaction_too_long": Word(
        "idle_in_transaction_too_long: end it, it keeps its locks", YELLOW
    ),
    "idle_too_long": Word("idle_too_long: leaked or cut off, restart the client", BLUE),
}


def _of_found(expr: str, otherwise: str = "* 0") -> str:
    return complete(expr, _FOUND, _REASON, otherwise)


_BY_REASON: Final = Table(
    title="Orphaned connections, and what to do",
    question="Which connections does nobody need any more, and how is that known?",
    meaning="client_gone: the client's end of the socket is closed, or its PgBouncer let go."
    " query_outlived_client: its query runs for longer than its client waits."
    " idle_in_transaction_too_long: a transaction was left open. idle_too_long: its pool would have"
    " closed it.",
    then="client_gone: end them, nobody receives the answer, then set"
    " client_connection_check_interval. query_outlived_client: set statement_timeout below the"
    " client's request_timeout. idle_in_transaction_too_long: end them, then set"
    " idle_in_transaction_session_timeout. idle_too_long: restart the client. Statements are in the"
    " runbooks PostgresQueriesOutliveClient and PostgresOrphanedConnections.",
    queries=(
        Query(expr=_FOUND),
        Query(expr=_of_found(added_up(_REASON, _RUN_ON))),
        Query(expr=_of_found(_OF_POOL, "* 0 - 1")),
        Query(expr=_of_found(added_up(_REASON, _LEFT_IDLE))),
        Query(
            expr=_of_found(
                f"max by ({_REASON}) (pgconn_orphaned_connection_age_max_seconds{{{OTHERS}}})"
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(
                to(Dashboard.CONNECTIONS, "target", "client", row=True),
                to(Dashboard.EXPORTER, "target", row=True),
            ),
        ),
        Column(name="reason", title="Reason: what to do", words=_REASONS, width=400),
        Column(name="A", title="Orphaned", unit="short"),
        Column(name="B", title="Run for nobody", unit="short", steps=(orange(1),), base=CLEAR),
        Column(
            name="C",
            title="All these of its pool",
            unit="percentunit",
            steps=(red("outlived_share"),),
            base=CLEAR,
            words={-1: NOTHING},
            decimals=0,
        ),
        Column(
            name="D", title="Left idle", unit="short", steps=(orange("orphans_many"),), base=CLEAR
        ),
        Column(name="E", title="Longest", unit="s"),
    ),
    order="Orphaned",
    unit="short",
    width=24,
    height=7,
    empty="Nobody is orphaned",
)

_REASON_COURSE: Final = TimeSeries(
    title="Orphans by reason",
    question="Do the orphans grow, and since when?",
    then="A rise that does not fall: find the client in the table above and do what stands there."
    " Waves of client_gone: its workers are killed, see who vanished below.",
    queries=(
        Query(
            expr=added_up("target, reason", ORPHANS),
            legend="{{target}} {{reason}}",
        ),
    ),
    unit="short",
    width=12,
    stacked=True,
    colours={
        "client_gone$": PURPLE,
        "query_outlived_client$": GREY,
        "idle_in_transaction_too_long$": YELLOW,
        "idle_too_long$": BLUE,
    },
    decimals=0,
    empty="Nobody is orphaned",
)

_IDLE_AGE: Final = Heatmap(
    title="For how long connections have been idle",
    question="Are idle connections used again, or forgotten?",
    meaning="A pool in use stays at the bottom. A cloud that climbs is a set of connections that"
    " nobody has used since; one in steps is a job that leaves some at each run.",
    then="Choose a client above to see its own. What climbs can be ended as the runbook"
    " PostgresOrphanedConnections says.",
    queries=(
        Query(
            expr="sum by (le) (max by (target, client, le)"
            f" (pgconn_idle_age_seconds_bucket{{{OTHERS}}}))",
            legend="{{le}}",
        ),
    ),
    unit="s",
    width=12,
    empty="No connection is idle",
)

ORPHANED: Final = Row(
    "Which of them does nobody need any more?", (_BY_REASON, _REASON_COURSE, _IDLE_AGE)
)
"""Orphans by reason, and how long idle ones have been idle."""
