"""What several rows ask of a client: how busy its pool is, and its orphans."""

from typing import Final

from grafana.src.house import CLEAR, Word
from grafana.src.shared import OTHERS

CLIENT: Final = "target, client"
"""What tells clients apart."""

BUSY: Final = f"""\
max by ({CLIENT}) (
  avg_over_time(pgconn_client_busy_connections{{{OTHERS}}}[1m])
    / on (job, instance, target, client) (pgconn_client_pool_size >= @{{pool_saturated_from}})
)"""
"""How much of its pool a client keeps busy, of those whose pool can be judged."""

ORPHANS: Final = f"pgconn_orphaned_connections{{{OTHERS}}}"
"""The connections that nobody needs any more, ourselves left out."""


NOTHING: Final = Word("no size", CLEAR)
"""Stands where there is nothing to measure against; its value is -1."""
