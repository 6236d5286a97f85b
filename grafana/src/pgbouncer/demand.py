"""What PgBouncer asks of PostgreSQL: whether its pools may open more than there are slots."""

from typing import Final

from grafana.src.house import YELLOW, Column, Query, Row, Step, Table
from grafana.src.pgbouncer.behind import SERVER
from grafana.src.pgbouncer.labels import DATABASE, POOL
from grafana.src.pgbouncer.timeouts import TIMEOUTS

# As in the alert PgBouncerOvercommits: all PgBouncers in front of a server count, chosen or not.
_LIMITS: Final = (
    f'max by ({DATABASE}) (pgconn_pgbouncer_database_connection_limit{{target!=""}} > 0)'
)
_SIZES: Final = f"""\
sum by ({DATABASE}) (max by ({POOL}) (
  pgconn_pgbouncer_pool_size{{target!=""}} + pgconn_pgbouncer_pool_reserve_size{{target!=""}}
    or pgconn_pgbouncer_pool_size{{target!=""}}
))"""
_MAY_OPEN: Final = f"""\
sum by (server) (
  sum by (target) (
    {_LIMITS} < on ({DATABASE}) {_SIZES}
    or on ({DATABASE}) {_SIZES}
    or on ({DATABASE}) {_LIMITS}
  )
  * on (target) group_left (server)
  topk by (target) (1, max by (target, server) (pgconn_pgbouncer_info{{target!="", server!=""}}))
)"""
# Of the servers, those behind a PgBouncer that was chosen.
_CHOSEN: Final = 'max by (server) (pgconn_pgbouncer_info{server!=""})'


def _of_server(metric: str) -> str:
    """Give a metric of PostgreSQL by the label `server`."""
    newest = f'max by (target) ({metric}{{target!=""}})'
    return f'max by (server) (label_replace({newest}, "server", "$1", "target", "(.+)"))'


_USABLE: Final = _of_server("pgconn_slots_usable")
_USED: Final = _of_server("pgconn_slots_used")
_PROMISED: Final = f"({_MAY_OPEN} and on (server) {_CHOSEN})"
_BOTH: Final = f"({_PROMISED} and on (server) {_USABLE})"

_OVERCOMMIT: Final = Table(
    title="What the pools may open, against PostgreSQL's slots",
    question="Do the pools promise more connections than PostgreSQL takes?",
    meaning="Sizes and reserves of all pools of all PgBouncers in front of a server, or"
    " max_db_connections where that is less. Above 100 % no harm is done until all are busy at"
    " once: then clients get errors where they could have waited.",
    then="Lower default_pool_size, reserve_pool_size or max_db_connections, or raise"
    " max_connections: the runbook of PgBouncerOvercommits tells which.",
    queries=(
        Query(expr=_BOTH),
        Query(expr=f"{_USABLE} and on (server) {_BOTH}"),
        Query(expr=f"{_BOTH} / on (server) ({_USABLE} > 0)"),
        Query(expr=f"({_USED} or on (server) {_BOTH} * 0) and on (server) {_BOTH}"),
    ),
    columns=(
        SERVER,
        Column(name="A", title="Pools may open", unit="short", width=130),
        Column(name="B", title="Usable slots", unit="short", width=110),
        Column(
            name="C",
            title="Share",
            unit="percentunit",
            width=90,
            decimals=0,
            steps=(Step(YELLOW, 1),),
        ),
        Column(name="D", title="In use now", unit="short", width=110),
    ),
    order="Share",
    unit="short",
    width=14,
    height=6,
    empty="Unknown: the configuration of no PgBouncer names the `server` behind it",
)

_VERSIONS: Final = Table(
    title="PgBouncers",
    question="Which PgBouncers are watched, and which PostgreSQL is behind each?",
    then="Where none is named, set `server` in the exporter's configuration: alerts then name"
    " the PostgreSQL behind, and are grouped with its own.",
    queries=(
        Query(
            expr="max by (target, version, server) (pgconn_pgbouncer_info) * on (target)"
            " group_left () max by (target) (pgconn_pgbouncer_clients_max)"
        ),
    ),
    columns=(
        Column(name="target", title="PgBouncer"),
        Column(name="version", title="Version", width=90),
        Column(name="server", title="PostgreSQL"),
        Column(name="A", title="max_client_conn", unit="short", width=140),
    ),
    order="max_client_conn",
    unit="short",
    width=10,
    height=6,
    empty="No PgBouncer is watched",
)

DEMAND: Final = Row("What does it ask of PostgreSQL?", (_OVERCOMMIT, _VERSIONS, TIMEOUTS))
"""What the pools may open against the slots there are, who is behind whom, and timeouts."""
