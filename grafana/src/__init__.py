"""The dashboards as they are written: a package each, a module for each of its rows."""

from collections.abc import Mapping
from typing import Final

from grafana.src.blocking import PAGE as BLOCKING
from grafana.src.connections import PAGE as CONNECTIONS
from grafana.src.exporter import PAGE as EXPORTER
from grafana.src.house import Page
from grafana.src.incident import PAGE as INCIDENT
from grafana.src.load import PAGE as LOAD
from grafana.src.pgbouncer import PAGE as PGBOUNCER

PAGES: Final[Mapping[str, Page]] = {
    page.uid.removeprefix("pgconn-"): page
    for page in (INCIDENT, CONNECTIONS, BLOCKING, LOAD, PGBOUNCER, EXPORTER)
}
"""Each dashboard, by the end of its uid, in the order of an incident."""
