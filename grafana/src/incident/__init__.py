"""Where the pager leads: can clients connect, how long still, which way to go, and who is it."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page
from grafana.src.incident.changes import CHANGES
from grafana.src.incident.connecting import CONNECTING
from grafana.src.incident.marks import MARKS
from grafana.src.incident.way import WAY
from grafana.src.incident.who import WHO

PAGE: Final = Page(
    uid=Dashboard.INCIDENT,
    title="Incident",
    answers="Can clients connect, how long still, which way to go, and who is it?",
    rows=(CONNECTING, WAY, WHO, CHANGES),
    annotations=MARKS,
    compare=True,
)
