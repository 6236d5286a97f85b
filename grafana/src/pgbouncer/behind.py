"""The PostgreSQL behind each PgBouncer."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Column, to

SERVER: Final = Column(
    name="server",
    title="PostgreSQL",
    links=(
        to(Dashboard.CONNECTIONS, row=True, target="server"),
        to(Dashboard.INCIDENT, row=True, target="server"),
    ),
)
"""Names it in a table, and leads to its own dashboards."""

# The target behind each PgBouncer: one, whatever several exporters say; empty where none is named,
# or while the settings cannot be read.
_EACH: Final = """\
(
  topk by (target) (1, max by (target, server) (pgconn_pgbouncer_info))
  or on (target) max by (target) (pgconn_pgbouncer_clients_used >= bool 0)
)"""


def behind(expr: str) -> str:
    """Give each series the target behind its PgBouncer as the label `server`."""
    return f"({expr})\n* on (target) group_left (server) {_EACH}"
