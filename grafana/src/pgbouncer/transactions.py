"""Whether PostgreSQL is slow, or the pool too small for what comes."""

from typing import Final

from grafana.src.house import Query, Row, TimeSeries
from grafana.src.pgbouncer.labels import DATABASE
from grafana.src.shared import LINES

_DATABASE_NAME: Final = "{{target}} {{database}}"

_TRANSACTIONS: Final = "pgconn_pgbouncer_transactions_total"
_QUERIES: Final = "pgconn_pgbouncer_queries_total"
_TRANSACTION_SECONDS: Final = "pgconn_pgbouncer_transaction_seconds_total"
_QUERY_SECONDS: Final = "pgconn_pgbouncer_query_seconds_total"
_WAIT_SECONDS: Final = "pgconn_pgbouncer_wait_seconds_total"


def _rate(counter: str) -> str:
    return f"max by ({DATABASE}) (rate({counter}[$__rate_interval]))"


def _each(seconds: str, counted: str) -> str:
    return f"topk({LINES}, {_rate(seconds)} / on ({DATABASE}) ({_rate(counted)} > 0))"


_WAIT_EACH: Final = TimeSeries(
    title="Wait for a connection, per transaction",
    question="What does PgBouncer add to each transaction?",
    meaning="With pool_mode = session a client waits once, and this is little even where it hurts.",
    then="If it grows with the time that transactions take (at the right), PostgreSQL is slow; if"
    " it grows alone, more clients share the pool than it was made for.",
    queries=(Query(expr=_each(_WAIT_SECONDS, _TRANSACTIONS), legend=_DATABASE_NAME),),
    unit="s",
    width=8,
    wide_legend=False,
)

_TIME_EACH: Final = TimeSeries(
    title="Time of a transaction and of a query",
    question="Is PostgreSQL slower than before, or do clients hold connections between queries?",
    meaning="Means of those that ended. A transaction that takes much longer than its queries"
    " holds its connection while the application does something else.",
    then="If queries are slow, open Load and statements of the PostgreSQL behind; if only"
    " transactions are, make the application's shorter.",
    queries=(
        Query(
            expr=_each(_TRANSACTION_SECONDS, _TRANSACTIONS),
            legend=f"{_DATABASE_NAME} transaction",
        ),
        Query(expr=_each(_QUERY_SECONDS, _QUERIES), legend=f"{_DATABASE_NAME} query", dashed=True),
    ),
    unit="s",
    width=8,
    wide_legend=False,
)

_THROUGHPUT: Final = TimeSeries(
    title="Throughput",
    question="Do more queries come than before, or does less get done?",
    then="Waiting with more throughput is load: find who grew under Clients. Waiting with less"
    " is PostgreSQL: open Blocking for the server behind.",
    queries=(
        Query(
            expr=f"topk({LINES}, {_rate(_TRANSACTIONS)})", legend=f"{_DATABASE_NAME} transactions"
        ),
        Query(
            expr=f"topk({LINES}, {_rate(_QUERIES)})",
            legend=f"{_DATABASE_NAME} queries",
            dashed=True,
        ),
    ),
    unit="ops",
    width=8,
    wide_legend=False,
)

TRANSACTIONS: Final = Row(
    "Is PostgreSQL slow, or the pool too small?", (_WAIT_EACH, _TIME_EACH, _THROUGHPUT)
)
"""What a transaction waits for its connection, how long it takes, and how many there are."""
