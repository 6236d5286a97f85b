"""Where the pager leads: can clients connect, how long still, and who is it."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import GREEN, RED, Page, Query, Row, Stat, Word, to

_CAN = Row(
    "Can clients connect?",
    (
        Stat(
            title="Clients can connect",
            question="Is a new connection accepted now?",
            meaning="As the exporter's probe saw it, which logs in anew as a client does.",
            then="No: see who holds the slots, at the right.",
            queries=(Query(expr="min by (target) (pgconn_probe_success)", legend="{{target}}"),),
            unit="short",
            width=4,
            words={0: Word("No", RED), 1: Word("Yes", GREEN)},
            empty="Unknown",
            base=RED,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
    ),
)

PAGE: Final = Page(
    uid=Dashboard.INCIDENT,
    title="Incident",
    answers="Can clients connect, how long still, and who is it?",
    rows=(_CAN,),
)
