"""Which client takes the slots, and whether it uses what it takes."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Column, Query, Table, to
from grafana.src.incident.columns import TARGET
from grafana.src.incident.states import UNKNOWN
from grafana.src.shared import OTHERS, complete

BY_CLIENT: Final = f"max by (target, client) (pgconn_client_connections{{{OTHERS}}})"
"""How many connections each client holds."""

_HOLDERS = f"topk(50, {BY_CLIENT})"


def _of_holders(expr: str) -> str:
    """Give just the rows of the table of clients, completed with 0."""
    return complete(expr, _HOLDERS, "target, client")


_CONNECTIONS_OF_ROW = to(Dashboard.CONNECTIONS, "target", "client", row=True)
_CLIENT = Column(name="client", title="Client", width=100, links=(_CONNECTIONS_OF_ROW,))

HOLDERS: Final = Table(
    title="Who holds the connections",
    question="Which client takes the slots, and does it use what it takes?",
    meaning=(
        "The 50 largest. Pool size is that of the exporter's configuration, 0 where it has"
        " none. What grows and is idle is a leak; more than the pool size is one, or its"
        " workers died."
    ),
    then=(
        "Restart the client at the top, or end what it left idle (runbooks"
        " PostgresClientHogsSlots and PostgresClientExceedsPool). A click on it leads to"
        " its connections."
    ),
    queries=(
        Query(expr=_HOLDERS),
        Query(
            expr=_of_holders(f"""\
max by (target, client) (
  pgconn_client_connections{{{OTHERS}}}
    / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
)""")
        ),
        Query(
            expr=_of_holders(
                f"max by (target, client) (pgconn_client_busy_connections{{{OTHERS}}})"
            )
        ),
        Query(expr=_of_holders("max by (target, client) (pgconn_client_pool_size)")),
        Query(
            expr=_of_holders("""\
max by (target, client) (pgconn_connection_state_age_max_seconds{state="idle"})""")
        ),
        Query(
            expr=_of_holders(f"""\
max by (target, client) (round(delta(pgconn_client_connections{{{OTHERS}}}[10m])))""")
        ),
    ),
    unit="short",
    width=12,
    columns=(
        TARGET,
        _CLIENT,
        Column(name="A", title="Connections", unit="short", width=112),
        Column(name="B", title="Share of the slots", unit="percentunit", bar=True, top=1),
        Column(name="F", title="In 10 min", unit="short", width=85),
        Column(name="C", title="Busy", unit="short", width=60),
        Column(name="D", title="Pool size", unit="short", width=80),
        Column(name="E", title="Idle up to", unit="s", width=85, decimals=0),
    ),
    order="Connections",
    empty=UNKNOWN,
)
"""A row for each client, the largest holder first."""
