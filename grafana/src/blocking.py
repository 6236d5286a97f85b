"""Who blocks whom, and for how long."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page, Query, Row, TimeSeries

PAGE: Final = Page(
    uid=Dashboard.BLOCKING,
    title="Blocking",
    answers="Who blocks whom, and for how long.",
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
