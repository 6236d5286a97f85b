"""Which process on which host holds a connection, in which state, and for how long."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.connections.slots import USABLE
from grafana.src.house import (
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    YELLOW,
    Column,
    Query,
    Row,
    Table,
    Word,
    Words,
    to,
)
from grafana.src.shared import OTHERS, complete

_STATES: Final[Words] = {
    "active": Word("active", GREEN),
    "idle": Word("idle", BLUE),
    "idle in transaction": Word("idle in transaction", YELLOW),
    "idle in transaction (aborted)": Word("idle in transaction (aborted)", PURPLE),
    "fastpath function call": Word("fastpath function call", GREY),
    "disabled": Word("disabled", GREY),
    "starting": Word("starting", GREY),
}

_WHO: Final = "target, client, client_addr, usename, application_name, datname, state"
_HELD: Final = f"topk(200, max by ({_WHO}) (pgconn_connections{{{OTHERS}}}))"

_DETAIL: Final = Table(
    title="Connections by client, address, user, application, database and state",
    question="Which process on which host is it, and for how long has it been so?",
    meaning="The 200 largest groups. The time is that of the group's longest in its state.",
    then="Click on a column's title to order by it. With address, user and application the"
    " statements of PostgresOrphanedConnections find and end exactly these.",
    queries=(
        Query(expr=_HELD),
        Query(expr=complete(f"{_HELD} / on (target) group_left () {USABLE}", _HELD, _WHO)),
        Query(
            expr=complete(
                f"max by ({_WHO}) (pgconn_connection_state_age_max_seconds{{{OTHERS}}})",
                _HELD,
                _WHO,
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(to(Dashboard.LOAD, "target", "client", row=True),),
        ),
        Column(name="client_addr", title="Address"),
        Column(name="usename", title="User"),
        Column(name="application_name", title="Application"),
        Column(name="datname", title="Database"),
        Column(name="state", title="State", words=_STATES, width=200),
        Column(name="A", title="Connections", unit="short", width=130),
        Column(name="B", title="Of usable slots", unit="percentunit", decimals=1, width=120),
        Column(name="C", title="Longest", unit="s", width=110),
    ),
    order="Connections",
    unit="short",
    width=24,
    height=10,
    empty="No client is connected",
)

PROCESSES: Final = Row("Which of its processes, in which state, for how long?", (_DETAIL,))
"""The connections in the smallest groups that can be told apart."""
