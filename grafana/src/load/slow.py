"""Who is slow, and who only waits for a lock of somebody else."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Query, Row, TimeSeries, orange, to
from grafana.src.load.clients import CLIENT_LINKS, CLIENT_NAME
from grafana.src.shared import LINES, OTHERS, added_up


def _oldest(blocked: str) -> str:
    return f"""\
topk({LINES},
  max by (target, client) (
    pgconn_query_age_max_seconds{{blocked="{blocked}", {OTHERS}}}
  )
)"""


def _slow(blocked: str) -> str:
    slow = f'pgconn_slow_queries{{blocked="{blocked}", {OTHERS}}}'
    return f"topk({LINES}, {added_up('target, client', slow)})"


SLOW: Final = Row(
    "Who is slow, and who only waits?",
    (
        TimeSeries(
            title="Longest query: culprits",
            question="Whose queries run for long although nobody is in their way?",
            meaning="Orange opens a ticket.",
            then="Cancel it, unless it is a report at its time: runbook PostgresSlowCulprits.",
            queries=(Query(expr=_oldest("false"), legend=CLIENT_NAME),),
            unit="s",
            width=8,
            steps=(orange("slow_query"),),
            wide_legend=False,
            empty="No query runs",
            links=CLIENT_LINKS,
        ),
        TimeSeries(
            title="Longest query: victims",
            question="Whose queries look slow, and only wait for a lock?",
            meaning="As long as this follows the culprits, mend those: the victims go on.",
            then="Find who is in their way: dashboard Blocking.",
            queries=(Query(expr=_oldest("true"), legend=CLIENT_NAME),),
            unit="s",
            width=8,
            wide_legend=False,
            empty="Nobody is blocked",
            links=(to(Dashboard.BLOCKING, "target"), *CLIENT_LINKS),
        ),
        TimeSeries(
            title="Slow queries",
            question="How many queries are slow, and how many of them are victims?",
            meaning="Those that have been running for longer than slow_query_after.",
            then=(
                "Many of one client: the same statement again and again, see below. Blocked ones:"
                " dashboard Blocking."
            ),
            queries=(
                Query(expr=_slow("false"), legend=CLIENT_NAME),
                Query(expr=_slow("true"), legend=f"{CLIENT_NAME}, blocked", dashed=True),
            ),
            unit="short",
            width=8,
            wide_legend=False,
            empty="No query is slow",
            links=CLIENT_LINKS,
            decimals=0,
        ),
    ),
)
"""The longest queries of culprits and of victims, and how many are slow."""
