"""Who holds the connections, and which of them nobody needs any more."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.connections.ends import ENDS
from grafana.src.connections.holders import HOLDING
from grafana.src.connections.orphans import ORPHANED
from grafana.src.connections.pools import POOLS
from grafana.src.connections.processes import PROCESSES
from grafana.src.connections.replication import REPLICATION
from grafana.src.house import Page

PAGE: Final = Page(
    uid=Dashboard.CONNECTIONS,
    title="Who holds the connections",
    answers="Who holds the connections, in which state and for how long, and which of them nobody"
    " needs any more.",
    rows=(HOLDING, PROCESSES, ORPHANED, POOLS, ENDS, REPLICATION),
    clients=True,
)
