"""Who the clients are, and whether PgBouncer's own connections are all busy for them."""

from typing import Final

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
    TimeSeries,
)
from grafana.src.pgbouncer.labels import POOL
from grafana.src.shared import added_up

_CLIENT: Final = "target, application_name, client_addr, database, user"
_MOST: Final = 50


def _clients(selector: str = "") -> str:
    return added_up(_CLIENT, f"pgconn_pgbouncer_client_connections{selector}")


_ALL_CLIENTS: Final = f"topk({_MOST}, {_clients()})"

_WHO: Final = Table(
    title="Clients",
    question="Which application, on which host, has connections or waits?",
    meaning=f"The {_MOST} with the most connections to PgBouncer. Those that wait are victims;"
    " those that are active in the same pool hold what they wait for.",
    then="Have who holds most return its connections, or restart it. In PostgreSQL these sessions"
    " have PgBouncer's address: their application_name tells them apart there.",
    queries=(
        Query(expr=_ALL_CLIENTS),
        *(
            Query(
                expr=f"({_clients(selector)} or on ({_CLIENT}) {_clients()} * 0)"
                f" and on ({_CLIENT}) {_ALL_CLIENTS}"
            )
            for selector in ('{state="active"}', '{state="waiting"}')
        ),
    ),
    columns=(
        Column(name="target", title="PgBouncer", width=120),
        Column(name="application_name", title="Application"),
        Column(name="client_addr", title="Address", width=120),
        Column(name="database", title="Database", width=100),
        Column(name="user", title="User", width=100),
        Column(name="A", title="Connections", unit="short", width=105, bar=True),
        Column(name="B", title="Active", unit="short", width=80),
        Column(name="C", title="Waiting", unit="short", width=80),
    ),
    order="Connections",
    unit="short",
    width=14,
    empty="No client is connected",
)

_SERVERS: Final = TimeSeries(
    title="Connections to PostgreSQL, by state",
    question="Are all of PgBouncer's own connections busy?",
    meaning="Idle and used are free. Many in login or tested: PostgreSQL is slow to let them in.",
    then="All active and clients waiting: look at the server behind, from the table of pools."
    " Many in login: see on Incident whether it takes new connections.",
    queries=(
        Query(
            expr=f"sum by (target, state) (max by ({POOL}, state) (pgconn_pgbouncer_pool_servers))",
            legend="{{target}} {{state}}",
        ),
    ),
    unit="short",
    width=10,
    stacked=True,
    colours={
        " active$": GREEN,
        " idle$": BLUE,
        " used$": PURPLE,
        " (login|tested)$": YELLOW,
        " (active_cancel|being_canceled)$": GREY,
    },
)

CLIENTS: Final = Row("Who are the clients?", (_WHO, _SERVERS))
"""Who has most connections to PgBouncer, and what its own to PostgreSQL do."""
