"""What pg_stat_statements tells of each statement, and how a statement is shown."""

from typing import Final

STATEMENT: Final = "target, datname, usename, queryid"
"""What tells statements apart."""

LEAST: Final = "1m"
"""The least step: pg_stat_statements is read each 30 s, unless configured otherwise."""

RECENT: Final = f"max by ({STATEMENT}) (avg_over_time(pgconn_statement_recent_mean_seconds[10m]))"
"""How long a statement takes now, over ten minutes."""

SECONDS: Final = f"max by ({STATEMENT}) (rate(pgconn_statement_seconds_total[$__rate_interval]))"
"""How many sessions run each statement, on average."""

LEGEND: Final = "{{target}} {{datname}} {{usename}}: {{statement}} …{{end}}"
"""Names the line of a statement that was made legible."""


def with_text(expr: str) -> str:
    """Give statements their text, as far as it is known; two exporters may cut it differently."""
    return f"""\
(
{expr}
)
* on ({STATEMENT}) group_left (query)
(
  topk by ({STATEMENT}) (1, pgconn_statement_info)
  or on ({STATEMENT})
  0 * max by ({STATEMENT}) (pgconn_statement_mean_seconds) + 1
)"""


def legible(expr: str) -> str:
    """Give statements the beginning of their text and the end of their queryid, for a legend."""
    return f"""\
label_replace(
  label_replace(
{with_text(expr)},
    "statement", "$1", "query", "(.{{0,28}}).*"
  ),
  "end", "$1", "queryid", ".*(.{{4}})"
)"""
