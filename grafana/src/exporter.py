"""Whether the picture can be trusted, what it costs, and which timeout is wrong."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page, Query, Row, TimeSeries

PAGE: Final = Page(
    uid=Dashboard.EXPORTER,
    title="Exporter and timeouts",
    answers="Whether the picture can be trusted, what it costs, and which timeout is wrong.",
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
