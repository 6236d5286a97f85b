"""Which pool is full, who waits in it, and what it asks of PostgreSQL."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page
from grafana.src.pgbouncer.clients import CLIENTS
from grafana.src.pgbouncer.demand import DEMAND
from grafana.src.pgbouncer.pools import POOLS
from grafana.src.pgbouncer.transactions import TRANSACTIONS

PAGE: Final = Page(
    uid=Dashboard.PGBOUNCER,
    title="PgBouncer",
    answers="Which pool is full, who waits in it, and what it asks of PostgreSQL.",
    targets="pgconn_pgbouncer_clients_used",
    rows=(POOLS, TRANSACTIONS, CLIENTS, DEMAND),
)
