"""Who holds the connections, in which state and for how long, and which of them nobody needs any more."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page, Query, Row, TimeSeries

PAGE: Final = Page(
    uid=Dashboard.CONNECTIONS,
    title="Who holds the connections",
    answers="Who holds the connections, in which state and for how long, and which of them nobody needs any more.",
    rows=(
        Row(
            "Up",
            (
                TimeSeries(
                    title="Up",
                    question="Does it answer?",
                    then="Look at the log.",
                    queries=(Query(expr="min by (target) (pgconn_up)", legend="{{target}}"),),
                    unit="short",
                    width=24,
                ),
            ),
        ),
    ),
)
