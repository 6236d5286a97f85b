"""What several dashboards select, how much a person can take in, and tables without holes."""

from typing import Final

OTHERS: Final = 'client!="pgconn-exporter"'
"""Matches all clients but ourselves."""

RESTING: Final = f'state=~"idle in transaction.*|prepared", {OTHERS}'
"""Matches who holds locks and does nothing."""

SESSION: Final = "target, client, usename, application_name, datname"
"""Whose sessions they are, as most metrics and alerts tell them apart."""

LINES: Final = 20
"""As many lines as a person can tell apart, where there are many targets."""


def added_up(labels: str, expr: str) -> str:
    """Add series up by some labels, as one exporter sees them of those that watch the same server.

    >>> added_up("target", "pgconn_connections")
    'max by (target) (sum by (job, instance, target) (pgconn_connections))'
    """
    return f"max by ({labels}) (sum by (job, instance, {labels}) ({expr}))"


def complete(expr: str, rows: str, by: str, otherwise: str = "* 0") -> str:
    """Give an expression for all rows of a table, and no others.

    `rows` has them, told apart `by` its labels; `otherwise` makes what stands in the others out of
    its values.
    """
    return f"({expr}) and on ({by}) {rows}\nor on ({by}) {rows} {otherwise}"
