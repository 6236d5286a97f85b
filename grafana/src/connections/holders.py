"""Who holds the connections, and who takes more and more."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.connections.clients import BUSY, CLIENT, NOTHING, ORPHANS
from grafana.src.connections.slots import FILLED, OVERCOMMITTED, USABLE, USED
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    PURPLE,
    YELLOW,
    Column,
    Query,
    Row,
    Table,
    TimeSeries,
    orange,
    red,
    to,
)
from grafana.src.shared import LINES, OTHERS, added_up, complete

_HELD_BY_CLIENT: Final = f"max by ({CLIENT}) (pgconn_client_connections{{{OTHERS}}})"
_HOLDERS: Final = f"topk(100, {_HELD_BY_CLIENT})"


def _of_clients(expr: str, otherwise: str = "* 0") -> str:
    return complete(expr, _HOLDERS, CLIENT, otherwise)


_BY_CLIENT: Final = Table(
    title="Connections by client",
    question="Who holds the connections, and who takes more and more?",
    meaning="A pool is full when all of its connections are busy, on average of a minute. A client"
    " beyond its pool leaks, or its dead workers left theirs behind.",
    then="Click on a client: what it holds, or what it does. One that grows and is idle leaks:"
    " restart it, or end its idle connections as the runbook PostgresClientHogsSlots says.",
    queries=(
        Query(expr=_HOLDERS),
        Query(expr=_of_clients(f"{_HOLDERS} / on (target) group_left () {USABLE}")),
        Query(
            expr=_of_clients(
                f"max by ({CLIENT}) (deriv(pgconn_client_connections{{{OTHERS}}}[5m])) * 60"
            )
        ),
        Query(
            expr=_of_clients(
                f"clamp_min({_HOLDERS} - on ({CLIENT})"
                f" max by ({CLIENT}) (pgconn_client_pool_size), 0)",
                "* 0 - 1",
            )
        ),
        Query(expr=_of_clients(BUSY, "* 0 - 1")),
        Query(expr=_of_clients(added_up(CLIENT, ORPHANS))),
        Query(
            expr=_of_clients(
                f"max by ({CLIENT})"
                f' (pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {OTHERS}}})'
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
                to(Dashboard.LOAD, "target", "client", row=True),
                to(Dashboard.BLOCKING, "target", "client", row=True),
            ),
        ),
        Column(name="A", title="Connections", unit="short"),
        Column(
            name="B",
            title="Of usable slots",
            unit="percentunit",
            base=BLUE,
            decimals=0,
            bar=True,
            top=1,
        ),
        Column(name="C", title="Grows a minute", unit="short", decimals=1),
        Column(
            name="D",
            title="Beyond its pool",
            unit="short",
            steps=(orange(1),),
            base=CLEAR,
            words={-1: NOTHING},
        ),
        Column(
            name="E",
            title="Pool busy",
            unit="percentunit",
            steps=(red("pool_saturated"),),
            base=CLEAR,
            words={-1: NOTHING},
            decimals=0,
        ),
        Column(name="F", title="Orphaned", unit="short"),
        Column(
            name="G",
            title="Idle in transaction for",
            unit="s",
            steps=(orange("idle_in_transaction"),),
            base=CLEAR,
        ),
    ),
    order="Connections",
    unit="short",
    width=24,
    empty="No client is connected",
)

_COURSE: Final = TimeSeries(
    title="Course by client",
    question="Whose connections grow, since when?",
    meaning="Steps are a job or a deployment, a steady rise is a leak, a comb is churn.",
    then="Who rises and does not fall again opens connections without closing them: restart it, and"
    " see PostgresOrphanedConnections for the cure.",
    queries=(Query(expr=f"topk({LINES}, {_HELD_BY_CLIENT})", legend="{{target}} {{client}}"),),
    unit="short",
    width=12,
    stacked=True,
    decimals=0,
    empty="No client is connected",
)

_BY_STATE: Final = TimeSeries(
    title="Course by state",
    question="Do the connections work, rest, or stand in the way?",
    then="Idle ones that grow: a leak. Idle in transaction: runbook PostgresIdleInTransaction."
    " Active ones that grow: see what they wait for on Load and statements.",
    queries=(
        Query(
            expr=added_up("target, state", f"pgconn_connections{{{OTHERS}}}"),
            legend="{{target}} {{state}}",
        ),
    ),
    unit="short",
    width=12,
    stacked=True,
    colours={
        " active$": GREEN,
        " idle$": BLUE,
        " idle in transaction$": YELLOW,
        r" idle in transaction \(aborted\)$": PURPLE,
        " (starting|disabled|fastpath function call)$": GREY,
    },
    decimals=0,
    links=(to(Dashboard.LOAD, "target"),),
    empty="No client is connected",
)

HOLDING: Final = Row(
    "Who holds the connections?",
    (_BY_CLIENT, USED, FILLED, OVERCOMMITTED, _COURSE, _BY_STATE),
)
"""By client and by state, and whether the slots suffice."""
