"""Which server an alert is about, where its target may be a PgBouncer."""

from textwrap import indent
from typing import Final

# A PgBouncer that cannot be reached says nothing any more: what it said within a day counts, and
# of two answers one.
_SERVER_OF_TARGET: Final = """\
(
  topk by (job, instance, target) (1,
    max by (job, instance, target, server) (last_over_time(pgconn_pgbouncer_info[1d]))
  )
  or on (job, instance, target)
  (max by (job, instance, target) (last_over_time(pgconn_up[5m])) >= bool 0)
)"""


def with_server(expr: str) -> str:
    """Give the series of an expression the label `server`: the target behind a PgBouncer.

    They stay without where there is none, with the template BEHIND_PGBOUNCER in mind.
    """
    return f"""\
(
{indent(expr, "  ")}
)
* on (job, instance, target) group_left (server) {_SERVER_OF_TARGET}"""
