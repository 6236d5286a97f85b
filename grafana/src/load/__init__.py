"""What the sessions do or wait for, who is slow, and which statement is slower than it was."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page
from grafana.src.load.sessions import SESSIONS
from grafana.src.load.slow import SLOW
from grafana.src.load.statements import STATEMENTS
from grafana.src.load.usual import USUAL

PAGE: Final = Page(
    uid=Dashboard.LOAD,
    title="Load and statements",
    answers="What the sessions do or wait for, and which statement is slower than it was.",
    rows=(SESSIONS, STATEMENTS, SLOW, USUAL),
    clients=True,
    compare=True,
)
