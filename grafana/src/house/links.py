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


def to(dashboard: Dashboard, *chosen: str, row: bool = False, **renamed: str) -> Link:
    """Lead to another dashboard, with variables taken from the labels of what was clicked.

    `row` is for tables, whose labels are fields of the row. `renamed` are variables and the labels
    of another name that they are taken from: `target="server"` leads from a PgBouncer to the
    target behind it, whichever exporter watches that.

    >>> to(Dashboard.LOAD, "client").url.partition("?")[0]
    '/d/pgconn-load'
    >>> "var-target=${__field.labels.server:" in to(Dashboard.LOAD, target="server").url
    True
    """
    source = "__data.fields" if row else "__field.labels"
    labels = dict(zip(chosen, chosen, strict=True)) | renamed
    taken = [f"var-{name}=${{{source}.{label}:percentencode}}" for name, label in labels.items()]
    elsewhere = {"instance"} if "target" in renamed else set()
    kept = [f"${{{name}:queryparam}}" for name in CHOSEN if name not in labels.keys() | elsewhere]
    query = "&".join((*kept, *taken, "${__url_time_range}"))
    return Link(TITLES[dashboard], f"/d/{dashboard}?{query}")
