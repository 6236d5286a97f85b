"""Which client has timeouts on the server that do not fit its own."""

from string import ascii_uppercase
from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.exporter.nothing import NONE, or_nothing
from grafana.src.house import CLEAR, GREEN, ORANGE, YELLOW, Column, Query, Table, Word, to

_CHECKED: Final = "max by (target, client) (pgconn_timeout_mismatch)"
_BROKEN: Final = Word("Does not fit", YELLOW)
_FITS: Final = Word("Fits", GREEN)

_RULES: Final = (
    ("dead_clients_linger", "Dead clients stay", Word("Too long", ORANGE)),
    ("statement_timeout_above_request_timeout", "Statement after request", _BROKEN),
    ("no_idle_in_transaction_timeout", "Transaction left open", _BROKEN),
    ("idle_timeout_below_pool_idle", "Idle in the pool", _BROKEN),
)

MISMATCHES: Final = Table(
    title="Timeouts that do not fit their client",
    question="Which client's next slow query, crash or forgotten transaction becomes an incident?",
    meaning="Dead clients stay: the server keeps sessions of a vanished client too long. Statement"
    " after request: it runs on when nobody waits for its answer. Transaction left open: nothing"
    " ends it, and its locks stay. Idle in the pool: the server cuts off connections that the pool"
    " still trusts. Beside them what the client does by itself. A dash: the configuration tells too"
    " little of it.",
    then="ALTER ROLE ... SET the timeout for the client's role, a little below the client's own;"
    " against dead clients, set tcp_keepalives_idle and client_connection_check_interval: see the"
    " runbooks of PostgresTimeoutMismatch and PostgresDeadClientsLinger.",
    queries=(
        *(
            Query(
                expr=or_nothing(
                    f'max by (target, client) (pgconn_timeout_mismatch{{rule="{rule}"}})',
                    _CHECKED,
                    "target, client",
                )
            )
            for rule, _, _ in _RULES
        ),
        *(
            Query(
                expr=or_nothing(
                    "max by (target, client)"
                    f' (pgconn_client_timeout_seconds{{setting="{setting}"}})',
                    _CHECKED,
                    "target, client",
                )
            )
            for setting in ("request_timeout", "idle_timeout")
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(to(Dashboard.CONNECTIONS, "target", "client", row=True),),
        ),
        *(
            Column(name=letter, title=title, words={1: broken, 0: _FITS, **NONE})
            for letter, (_, title, broken) in zip(ascii_uppercase, _RULES, strict=False)
        ),
        Column(name="E", title="Request timeout", unit="s", width=140, base=CLEAR, words=NONE),
        Column(name="F", title="Idle timeout", unit="s", width=120, base=CLEAR, words=NONE),
    ),
    order="Dead clients stay",
    unit="short",
    width=24,
    height=8,
    empty="No clients are configured whose timeouts could be checked",
)
"""Each configured client by the rules of PostgresTimeoutMismatch, and its own timeouts."""
