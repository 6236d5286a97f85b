"""What the configuration of a target means for its polls: reads, options, ways in."""

from collections.abc import Callable, Mapping
from typing import Any

from exporter.collectors import Options
from exporter.config import ClientGroup, Target
from exporter.diagnosis.clients import Group
from exporter.diagnosis.poolers import Pooler
from exporter.reads import Read, pgbouncer_reads, postgresql_reads
from exporter.server.access import Access


def collector_options(target: Target) -> Options:
    """Give what the collectors need to know of a target's configuration."""
    return Options(
        groups=tuple(
            Group(c.name, c.match.client_addr, c.match.application_name, c.match.usename)
            for c in target.clients
        ),
        request_timeouts=_given(target, lambda client: client.request_timeout),
        idle_timeouts=_given(target, lambda client: client.idle_timeout),
        pool_sizes={c.name: c.pool_size for c in target.clients if c.pool_size is not None},
        idle_after=target.orphans.idle_after,
        idle_in_transaction_after=target.orphans.idle_in_transaction_after,
        proc=target.proc,
        server=target.server or "",
        connection_labels=target.connection_labels,
        slow_query_after=target.slow_query_after,
        peak_window=target.peak_window,
        statements_top=target.statements.top,
        text_length=target.statements.text_length,
        max_series=target.max_series,
    )


def _given(target: Target, limit: Callable[[ClientGroup], float | None]) -> dict[str, float]:
    """Give a limit of the clients that have it."""
    limits = {client.name: limit(client) for client in target.clients}
    return {name: seconds for name, seconds in limits.items() if seconds is not None}


def reads_of(target: Target, poolers: Mapping[str, Pooler]) -> tuple[Read[Any], ...]:
    """Give the reads of a target, the activity first; `poolers` are those that it is linked to.

    A PgBouncer is linked to what it says itself, a PostgreSQL to the PgBouncers in front of it:
    to those that are in `poolers` when it is polled.
    """
    options = collector_options(target)
    if target.kind == "pgbouncer":
        return pgbouncer_reads(options, poolers[target.name])
    return postgresql_reads(options, poolers.values())


def access(target: Target) -> Access:
    """Give how we reach a target."""
    return Access(target.dsn.get_secret_value(), target.password_file)


def probe_access(target: Target) -> Access | None:
    """Give how the probe reaches it; None where there is nothing to probe.

    A PgBouncer that turns its clients away still takes us to its console: that says nothing.
    """
    if target.probe is not None:
        return Access(target.probe.dsn.get_secret_value(), target.probe.password_file)
    return access(target) if target.kind == "postgresql" else None
