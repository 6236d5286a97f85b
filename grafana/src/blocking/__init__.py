"""Who blocks whom: the root blockers first, then who waits, then what stays open."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.blocking.roots import ROOTS
from grafana.src.blocking.transactions import TRANSACTIONS
from grafana.src.blocking.victims import VICTIMS
from grafana.src.house import Page

PAGE: Final = Page(
    uid=Dashboard.BLOCKING,
    title="Blocking",
    answers="Who blocks whom, and for how long.",
    rows=(ROOTS, VICTIMS, TRANSACTIONS),
    clients=True,
)
