"""Ways from a panel to the dashboard that tells more, with the time and all that was chosen."""

from dataclasses import dataclass
from typing import Final

from exporter.alerts.model import Dashboard

CHOSEN: Final = ("datasource", "job", "instance", "target")
"""The variables of every dashboard."""

TITLES: Final = {
    Dashboard.INCIDENT: "Incident",
    Dashboard.CONNECTIONS: "Who holds the connections",
    Dashboard.BLOCKING: "Blocking",
    Dashboard.LOAD: "Load and statements",
    Dashboard.PGBOUNCER: "PgBouncer",
    Dashboard.EXPORTER: "Exporter and timeouts",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A click: its words, and where it leads."""

    title: str
    url: str


def to(dashboard: Dashboard, *chosen: str, row: bool = False) -> Link:
    """Lead to another dashboard, with variables taken from the labels of what was clicked.

    `row` is for tables, whose labels are fields of the row.

    >>> to(Dashboard.LOAD, "client").url.partition("?")[0]
    '/d/pgconn-load'
    """
    source = "__data.fields" if row else "__field.labels"
    taken = [f"var-{name}=${{{source}.{name}:percentencode}}" for name in chosen]
    kept = [f"${{{name}:queryparam}}" for name in CHOSEN if name not in chosen]
    query = "&".join((*kept, *taken, "${__url_time_range}"))
    return Link(TITLES[dashboard], f"/d/{dashboard}?{query}")
