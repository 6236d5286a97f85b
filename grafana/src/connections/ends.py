"""How sessions ended that did not end with a goodbye."""

from typing import Final

from grafana.src.house import Query, Row, TimeSeries, orange


def _ended(labels: str, reason: str) -> str:
    return (
        f"max by ({labels}) (rate(pgconn_database_sessions_ended_total"
        f"{{reason{reason}}}[$__rate_interval]))"
    )


_VANISHED: Final = TimeSeries(
    title="Sessions whose client vanished",
    question="Do clients die without a goodbye?",
    meaning="Abandoned sessions by database, counted when the session ends (PostgreSQL 14 on).",
    then="On the clients' hosts: journalctl -k | grep -i 'killed process', and the supervisor's log"
    " for worker timeouts; runbook PostgresSessionsAbandoned.",
    queries=(
        Query(expr=_ended("target, datname", '="abandoned"'), legend="{{target}} {{datname}}"),
    ),
    unit="cps",
    width=12,
    steps=(orange("abandoned"),),
    empty="None, or PostgreSQL 13",
)

_ENDED: Final = TimeSeries(
    title="Sessions that the server ended",
    question="Do timeouts, errors or administrators end sessions?",
    meaning="fatal: an error, a timeout, or a client that was found gone in the middle of a query."
    " killed: pg_terminate_backend (PostgreSQL 14 on).",
    then="fatal without an incident: look for FATAL in the server's log. killed: ask who cleans up,"
    " and heal the leak with PostgresOrphanedConnections instead.",
    queries=(
        Query(
            expr=_ended("target, datname, reason", '=~"fatal|killed"'),
            legend="{{target}} {{datname}} {{reason}}",
        ),
    ),
    unit="cps",
    width=12,
    empty="None, or PostgreSQL 13",
)

ENDS: Final = Row("How did sessions end?", (_VANISHED, _ENDED))
"""Whose client vanished, and whom the server ended."""
