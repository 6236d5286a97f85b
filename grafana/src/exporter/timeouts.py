"""Which timeout is wrong: what is in force where, and when a vanished client is noticed."""

from collections.abc import Iterable, Iterator, Mapping
from string import ascii_uppercase
from typing import Final

from grafana.src.exporter.mismatches import MISMATCHES
from grafana.src.exporter.nothing import NONE, or_nothing
from grafana.src.house import CLEAR, YELLOW, Column, Query, Row, Table, Word

_OFF: Final[Mapping[float, Word]] = {0: Word("off", CLEAR), **NONE}
_OWN: Final = 'datname="", usename=""'
_DETECTED: Final = "max by (target) (pgconn_dead_client_detection_seconds%s)"
_TARGETS: Final = f"max by (target) (pgconn_timeout_seconds{{{_OWN}}})"
_UNTIL_THE_END: Final = -2


def _of_servers(exprs: Iterable[str]) -> Iterator[Query]:
    for expr in exprs:
        yield Query(expr=or_nothing(expr, _TARGETS, "target"))


def _detection(session: str) -> str:
    found = _DETECTED % f'{{session="{session}"}}'
    # Infinity has no picture in Grafana.
    forever = f"({found} == bool Inf) + ({_UNTIL_THE_END - 1})"
    return f"({found} < Inf) or on (target) {forever}"


_DEAD: Final = Table(
    title="When a vanished client is noticed",
    question="How long does the server keep the session of a client that is gone?",
    meaning="An idle session, until TCP keepalives go unanswered; one with a query, until"
    " client_connection_check_interval finds the connection closed (14 on), or its query ends.",
    then="In postgresql.conf: tcp_keepalives_idle = 60, client_connection_check_interval = '10s',"
    " then SELECT pg_reload_conf().",
    queries=tuple(
        _of_servers(
            (
                _detection("idle"),
                _detection("active"),
                *(
                    f'max by (target) (pgconn_timeout_seconds{{setting="{setting}", {_OWN}}})'
                    for setting in (
                        "tcp_keepalives_idle",
                        "tcp_keepalives_interval",
                        "tcp_user_timeout",
                    )
                ),
            )
        )
    ),
    columns=(
        Column(name="target", title="Target"),
        *(
            Column(
                name=letter,
                title=title,
                unit="s",
                base=CLEAR,
                words={_UNTIL_THE_END: Word("when it ends", YELLOW), **NONE},
            )
            for letter, title in (("A", "Idle"), ("B", "With a query"))
        ),
        *(
            Column(name=letter, title=title, unit="s", base=CLEAR, words=_OFF)
            for letter, title in (
                ("C", "Keepalives after"),
                ("D", "Every"),
                ("E", "User timeout"),
            )
        ),
    ),
    order="Idle",
    unit="s",
    width=24,
    height=5,
    empty="No server's settings were read",
)

_SCOPE: Final = "target, datname, usename"
_SETTINGS: Final = (
    ("statement_timeout", "Statement"),
    ("transaction_timeout", "Transaction"),
    ("idle_in_transaction_session_timeout", "Idle in transaction"),
    ("idle_session_timeout", "Idle session"),
    ("lock_timeout", "Lock"),
    ("client_connection_check_interval", "Connection check"),
)
_ANY_SETTING: Final = "|".join(setting for setting, _ in _SETTINGS)
_SCOPES: Final = f'max by ({_SCOPE}) (pgconn_timeout_seconds{{setting=~"{_ANY_SETTING}"}})'


def _setting(setting: str) -> str:
    """Give a setting by its scope, of which "any" is every database or role."""
    found = f'max by ({_SCOPE}) (pgconn_timeout_seconds{{setting="{setting}"}})'
    complete = or_nothing(found, _SCOPES, _SCOPE)
    for label in ("datname", "usename"):
        complete = f'label_replace(\n{complete},\n"{label}", "any", "{label}", "")'
    return complete


_IN_FORCE: Final = Table(
    title="Timeouts in force",
    question="Which timeout does a new session get, and where does it come from?",
    meaning="A row for each place where one is set: the server's own (any, any), ALTER DATABASE,"
    " ALTER ROLE, and ALTER ROLE ... IN DATABASE. What stands nearest counts: role in database,"
    " role, database, server. A dash: not set there, or unknown to this version.",
    then="Change the timeout for the role of the client, not for the server: ALTER ROLE ... SET"
    " statement_timeout = '25s'; new sessions get it.",
    queries=tuple(Query(expr=_setting(setting)) for setting, _ in _SETTINGS),
    columns=(
        Column(name="target", title="Target"),
        Column(name="datname", title="Database"),
        Column(name="usename", title="Role"),
        *(
            Column(name=letter, title=title, unit="s", base=CLEAR, words=_OFF)
            for letter, (_, title) in zip(ascii_uppercase, _SETTINGS, strict=False)
        ),
    ),
    order="Target",
    unit="s",
    width=24,
    height=9,
    empty="No server's settings were read",
)

TIMEOUTS: Final = Row("Which timeout is wrong?", (MISMATCHES, _IN_FORCE, _DEAD))
"""The timeouts that do not fit, those in force, and when a vanished client is noticed."""
