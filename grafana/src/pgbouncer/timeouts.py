"""After how long PgBouncer ends what."""

from typing import Final

from grafana.src.house import CLEAR, Column, Query, Table, Word

_OFF: Final = Word("off", CLEAR)
_UNSET: Final = Word("-", CLEAR)  # a version that has no such setting

_SETTINGS: Final = (
    ("query_wait_timeout", "Wait for a connection"),
    ("query_timeout", "Query"),
    ("transaction_timeout", "Transaction"),
    ("idle_transaction_timeout", "Idle in transaction"),
    ("client_idle_timeout", "Client idle"),
    ("client_login_timeout", "Client login"),
    ("server_connect_timeout", "Connect"),
    ("server_idle_timeout", "Connection idle"),
    ("reserve_pool_timeout", "Until the reserve"),
)
_ANY_TIMEOUT: Final = "max by (target) (pgconn_pgbouncer_timeout_seconds)"

TIMEOUTS: Final = Table(
    title="Timeouts of PgBouncer",
    question="After how long does PgBouncer end what?",
    meaning="query_wait_timeout sends away who waits for a connection; query_timeout,"
    " transaction_timeout (1.25 on) and idle_transaction_timeout end what holds one;"
    " client_idle_timeout and client_login_timeout end clients; server_connect_timeout and"
    " server_idle_timeout are about connections to PostgreSQL; after reserve_pool_timeout a pool"
    " takes its reserve. A dash stands for what this version has not.",
    then="Set query_wait_timeout below the time that clients wait for an answer, and"
    " idle_transaction_timeout where an application leaves transactions open.",
    queries=tuple(
        Query(
            expr=f'max by (target) (pgconn_pgbouncer_timeout_seconds{{setting="{setting}"}})'
            f" or on (target) {_ANY_TIMEOUT} * 0 - 1"
        )
        for setting, _ in _SETTINGS
    ),
    columns=(
        Column(name="target", title="PgBouncer"),
        *(
            Column(name=letter, title=title, unit="s", base=CLEAR, words={0: _OFF, -1: _UNSET})
            for letter, (_, title) in zip("ABCDEFGHI", _SETTINGS, strict=True)
        ),
    ),
    order="PgBouncer",
    unit="s",
    width=24,
    height=5,
    empty="No PgBouncer is watched",
)
"""Each timeout of each PgBouncer, as far as its version has it."""
