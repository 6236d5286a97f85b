"""Which pool is full, who waits in it, and what it asks of PostgreSQL."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Page, Query, Row, TimeSeries

PAGE: Final = Page(
    uid=Dashboard.PGBOUNCER,
    title="PgBouncer",
    answers="Which pool is full, who waits in it, and what it asks of PostgreSQL.",
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
