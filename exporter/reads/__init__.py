"""The reads of a target: what each fetches, and the collectors that take it."""

from exporter.reads.base import ACTIVITY_READ, Read
from exporter.reads.pgbouncer import pgbouncer_reads
from exporter.reads.postgresql import postgresql_reads

__all__ = ["ACTIVITY_READ", "Read", "pgbouncer_reads", "postgresql_reads"]
