"""Whether the picture can be trusted, what it costs, and which timeout is wrong."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.exporter.cost import COST
from grafana.src.exporter.reads import READS
from grafana.src.exporter.timeouts import TIMEOUTS
from grafana.src.exporter.trust import TRUST
from grafana.src.house import Page

PAGE: Final = Page(
    uid=Dashboard.EXPORTER,
    title="Exporter and timeouts",
    answers="Whether the picture can be trusted, what it costs, and which timeout is wrong.",
    rows=(TRUST, READS, TIMEOUTS, COST),
)
