"""What the sessions do or wait for, and which statement is slower than it was."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page, Query, Row, TimeSeries

PAGE: Final = Page(
    uid=Dashboard.LOAD,
    title="Load and statements",
    answers="What the sessions do or wait for, and which statement is slower than it was.",
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
