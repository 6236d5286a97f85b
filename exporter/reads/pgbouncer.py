"""The reads of a PgBouncer target."""

from typing import Any

from exporter.collectors import Options
from exporter.diagnosis.poolers import Pooler
from exporter.reads.base import Read


def pgbouncer_reads(options: Options, pooler: Pooler) -> tuple[Read[Any], ...]:
    """Give every read of a PgBouncer target; `pooler` learns of its connections to PostgreSQL."""
    raise NotImplementedError(options, pooler)
