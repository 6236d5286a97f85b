"""Which pool is full, who waits in it, and what it asks of PostgreSQL."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    YELLOW,
    Column,
    Page,
    Query,
    Row,
    Stat,
    Step,
    Table,
    TimeSeries,
    Word,
    orange,
    red,
    to,
)

_MANY: Final = 20
"""Lines that a person can tell apart; pools may be hundreds."""

_POOL: Final = "target, database, user"
_POOL_NAME: Final = "{{target}} {{database}}/{{user}}"

# --- Which pool is full

# The target behind each PgBouncer: one, whatever several exporters say; empty where none is named,
# or while the settings cannot be read.
_SERVER: Final = """\
(
  topk by (target) (1, max by (target, server) (pgconn_pgbouncer_info))
  or on (target) max by (target) (pgconn_pgbouncer_clients_used >= bool 0)
)"""


def _behind(expr: str) -> str:
    """Give each series the target behind its PgBouncer as the label `server`."""
    return f"({expr})\n* on (target) group_left (server) {_SERVER}"


def _busiest(metric: str) -> str:
    # Of several exporters that watch the same pool, the one that saw most.
    summed = f"sum by (job, instance, {_POOL}) (pgconn_pgbouncer_{metric})"
    return f"max by ({_POOL}) ({summed})"


_SIZE: Final = f"max by ({_POOL}) (pgconn_pgbouncer_pool_size)"
_BUSY: Final = _busiest('pool_servers{state!~"idle|used"}')
_ACTIVE: Final = _busiest('pool_clients{state="active"}')
_WAITING: Final = _busiest('pool_clients{state="waiting"}')
_MAX_WAIT: Final = f"max by ({_POOL}) (pgconn_pgbouncer_pool_max_wait_seconds)"
# A pool without a limit has no size, and no share of it.
_UNLIMITED: Final = -1
_LIMITED: Final = f"{_BUSY} * 0 + ({_UNLIMITED})"

_POOLS: Final = Table(
    title="Pools",
    question="Which pool has no connection left for its clients?",
    meaning="Used are the pool's connections to PostgreSQL that serve a client now. A share above"
    " 100 % is the reserve. Where clients wait long although a pool is not full, PgBouncer gets no"
    " connection to PostgreSQL, or the database is paused.",
    then="A full pool is rarely too small: click PostgreSQL to see whether what it runs is slow,"
    " blocked, or idle in transaction. Only if all is well there, raise pool_size as the runbook of"
    " PgBouncerPoolSaturated says.",
    queries=(
        Query(expr=_behind(_BUSY)),
        Query(expr=_behind(f"{_SIZE} or on ({_POOL}) {_LIMITED}")),
        Query(expr=_behind(f"{_BUSY} / on ({_POOL}) ({_SIZE} > 0) or on ({_POOL}) {_LIMITED}")),
        Query(expr=_behind(_ACTIVE)),
        Query(expr=_behind(_WAITING)),
        Query(expr=_behind(_MAX_WAIT)),
    ),
    columns=(
        Column(name="target", title="PgBouncer"),
        Column(name="database", title="Database"),
        Column(name="user", title="User"),
        Column(
            name="server",
            title="PostgreSQL",
            links=(
                to(Dashboard.CONNECTIONS, row=True, target="server"),
                to(Dashboard.INCIDENT, row=True, target="server"),
            ),
        ),
        Column(name="A", title="Used", unit="short", width=80),
        Column(
            name="B",
            title="Size",
            unit="short",
            width=80,
            base=CLEAR,
            words={_UNLIMITED: Word("no limit", CLEAR)},
        ),
        Column(
            name="C",
            title="Share",
            unit="percentunit",
            width=80,
            decimals=0,
            steps=(orange("pgbouncer_pool_high"),),
            words={_UNLIMITED: Word("-", CLEAR)},
        ),
        Column(name="D", title="Active", unit="short", width=80),
        Column(name="E", title="Waiting", unit="short", width=80),
        Column(name="F", title="Longest wait", unit="s", width=110, steps=(red("pgbouncer_wait"),)),
    ),
    order="Longest wait",
    unit="short",
    width=24,
    height=7,
    empty="No PgBouncer is watched, or none has had a client yet",
)

_CLIENT_SLOTS: Final = Stat(
    title="Client slots used",
    question="Does PgBouncer turn clients away?",
    meaning="The share of max_client_conn: whoever comes beyond it gets the error `no more"
    " connections allowed`, whatever PostgreSQL could still take.",
    then="Find under Clients who has so many. If they wait for a pool, look at that pool first;"
    " if not, that application opens connections without end.",
    queries=(
        Query(
            expr="max by (target) (pgconn_pgbouncer_clients_used)"
            " / on (target) (max by (target) (pgconn_pgbouncer_clients_max) > 0)",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    decimals=0,
    width=4,
    height=8,
    steps=(red("pgbouncer_clients_high"),),
    empty="Unknown",
    spark=True,
)

_PAUSED: Final = Table(
    title="Paused databases",
    question="Is a database paused, suspended or disabled?",
    meaning="Its clients wait or are refused. That is right during a switchover, and an outage"
    " when somebody forgot to end it.",
    then="Ask who works on it. If nobody does, on the PgBouncer console: RESUME, or ENABLE after"
    " DISABLE.",
    queries=(Query(expr="max by (target, database) (pgconn_pgbouncer_database_paused) == 1"),),
    columns=(
        Column(name="target", title="PgBouncer", width=130),
        Column(name="database", title="Database", width=120),
        Column(name="A", title="State", width=90, words={1: Word("Paused", ORANGE)}),
    ),
    order="State",
    unit="short",
    width=6,
    empty="None is paused",
)

# --- Who waits

_WAITERS: Final = TimeSeries(
    title="Clients that wait",
    question="In which pool do clients queue, and since when?",
    meaning="Only those that want a query run and have no connection to PostgreSQL for it.",
    then="Compare with the same moment below: did transactions take longer, or come more often?",
    queries=(Query(expr=f"topk({_MANY}, {_WAITING})", legend=_POOL_NAME),),
    unit="short",
    width=7,
    wide_legend=False,
)

_WAITED: Final = TimeSeries(
    title="Longest wait in the queue",
    question="For how long does the first in the queue wait?",
    meaning="It pages where the pool is full, too. At query_wait_timeout clients are sent away"
    " with an error, and the line falls.",
    then="Follow the runbook of PgBouncerPoolSaturated: see first what the connections of the"
    " pool do in PostgreSQL.",
    queries=(Query(expr=f"topk({_MANY}, {_MAX_WAIT})", legend=_POOL_NAME),),
    unit="s",
    width=7,
    wide_legend=False,
    steps=(red("pgbouncer_wait"),),
)

# --- Is PostgreSQL slow, or the pool too small

_DATABASE: Final = "target, database"
_DATABASE_NAME: Final = "{{target}} {{database}}"


def _rate(counter: str) -> str:
    rate = f"rate(pgconn_pgbouncer_{counter}_total[$__rate_interval])"
    return f"max by ({_DATABASE}) ({rate})"


def _each(seconds: str, counted: str) -> str:
    return f"topk({_MANY}, {_rate(seconds)} / on ({_DATABASE}) ({_rate(counted)} > 0))"


_WAIT_EACH: Final = TimeSeries(
    title="Wait for a connection, per transaction",
    question="What does PgBouncer add to each transaction?",
    meaning="With pool_mode = session a client waits once, and this is little even where it hurts.",
    then="If it grows with the time that transactions take (at the right), PostgreSQL is slow; if"
    " it grows alone, more clients share the pool than it was made for.",
    queries=(Query(expr=_each("wait_seconds", "transactions"), legend=_DATABASE_NAME),),
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
            expr=_each("transaction_seconds", "transactions"),
            legend=f"{_DATABASE_NAME} transaction",
        ),
        Query(
            expr=_each("query_seconds", "queries"), legend=f"{_DATABASE_NAME} query", dashed=True
        ),
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
            expr=f"topk({_MANY}, {_rate('transactions')})", legend=f"{_DATABASE_NAME} transactions"
        ),
        Query(
            expr=f"topk({_MANY}, {_rate('queries')})",
            legend=f"{_DATABASE_NAME} queries",
            dashed=True,
        ),
    ),
    unit="ops",
    width=8,
    wide_legend=False,
)

# --- Who are the clients

_CLIENT: Final = "target, application_name, client_addr, database, user"
_MOST: Final = 50


def _clients(selector: str = "") -> str:
    each = f"sum by (job, instance, {_CLIENT}) (pgconn_pgbouncer_client_connections{selector})"
    return f"max by ({_CLIENT}) ({each})"


_ALL_CLIENTS: Final = f"topk({_MOST}, {_clients()})"

_WHO: Final = Table(
    title="Clients",
    question="Which application, on which host, has connections or waits?",
    meaning=f"The {_MOST} with the most connections to PgBouncer. Those that wait are victims;"
    " those that are active in the same pool hold what they wait for.",
    then="Have who holds most return its connections, or restart it. In PostgreSQL these sessions"
    " have PgBouncer's address: their application_name tells them apart there.",
    queries=(
        Query(expr=_ALL_CLIENTS),
        *(
            Query(
                expr=f"({_clients(selector)} or on ({_CLIENT}) {_clients()} * 0)"
                f" and on ({_CLIENT}) {_ALL_CLIENTS}"
            )
            for selector in ('{state="active"}', '{state="waiting"}')
        ),
    ),
    columns=(
        Column(name="target", title="PgBouncer", width=120),
        Column(name="application_name", title="Application"),
        Column(name="client_addr", title="Address", width=120),
        Column(name="database", title="Database", width=100),
        Column(name="user", title="User", width=100),
        Column(name="A", title="Connections", unit="short", width=105, bar=True),
        Column(name="B", title="Active", unit="short", width=80),
        Column(name="C", title="Waiting", unit="short", width=80),
    ),
    order="Connections",
    unit="short",
    width=14,
    empty="No client is connected",
)

_SERVERS: Final = TimeSeries(
    title="Connections to PostgreSQL, by state",
    question="Are all of PgBouncer's own connections busy?",
    meaning="Idle and used are free. Many in login or tested: PostgreSQL is slow to let them in.",
    then="All active and clients waiting: look at the server behind, from the table of pools."
    " Many in login: see on Incident whether it takes new connections.",
    queries=(
        Query(
            expr="sum by (target, state) ("
            f"max by ({_POOL}, state) (pgconn_pgbouncer_pool_servers))",
            legend="{{target}} {{state}}",
        ),
    ),
    unit="short",
    width=10,
    stacked=True,
    colours={
        " active$": GREEN,
        " idle$": BLUE,
        " used$": PURPLE,
        " (login|tested)$": YELLOW,
        " (active_cancel|being_canceled)$": GREY,
    },
)

# --- What it asks of PostgreSQL

# As in the alert PgBouncerOvercommits: all PgBouncers in front of a server count, chosen or not.
_LIMITS: Final = (
    f'max by ({_DATABASE}) (pgconn_pgbouncer_database_connection_limit{{target!=""}} > 0)'
)
_SIZES: Final = f"""\
sum by ({_DATABASE}) (max by ({_POOL}) (
  pgconn_pgbouncer_pool_size{{target!=""}} + pgconn_pgbouncer_pool_reserve_size{{target!=""}}
    or pgconn_pgbouncer_pool_size{{target!=""}}
))"""
_MAY_OPEN: Final = f"""\
sum by (server) (
  sum by (target) (
    {_LIMITS} < on ({_DATABASE}) {_SIZES}
    or on ({_DATABASE}) {_SIZES}
    or on ({_DATABASE}) {_LIMITS}
  )
  * on (target) group_left (server)
  topk by (target) (1, max by (target, server) (pgconn_pgbouncer_info{{target!="", server!=""}}))
)"""
# Of the servers, those behind a PgBouncer that was chosen.
_CHOSEN: Final = 'max by (server) (pgconn_pgbouncer_info{server!=""})'


def _of_server(metric: str) -> str:
    """Give a metric of PostgreSQL by the label `server`."""
    newest = f'max by (target) (pgconn_{metric}{{target!=""}})'
    return f'max by (server) (label_replace({newest}, "server", "$1", "target", "(.+)"))'


_PROMISED: Final = f"({_MAY_OPEN} and on (server) {_CHOSEN})"
_BOTH: Final = f"({_PROMISED} and on (server) {_of_server('slots_usable')})"

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
        Query(expr=f"{_of_server('slots_usable')} and on (server) {_BOTH}"),
        Query(expr=f"{_BOTH} / on (server) ({_of_server('slots_usable')} > 0)"),
        Query(
            expr=f"({_of_server('slots_used')} or on (server) {_BOTH} * 0) and on (server) {_BOTH}"
        ),
    ),
    columns=(
        Column(
            name="server",
            title="PostgreSQL",
            links=(
                to(Dashboard.CONNECTIONS, row=True, target="server"),
                to(Dashboard.INCIDENT, row=True, target="server"),
            ),
        ),
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

_TIMEOUTS: Final = Table(
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

PAGE: Final = Page(
    uid=Dashboard.PGBOUNCER,
    title="PgBouncer",
    answers="Which pool is full, who waits in it, and what it asks of PostgreSQL.",
    targets="pgconn_pgbouncer_clients_used",
    rows=(
        Row(
            "Which pool is full, and who waits?",
            (_POOLS, _WAITED, _WAITERS, _CLIENT_SLOTS, _PAUSED),
        ),
        Row("Is PostgreSQL slow, or the pool too small?", (_WAIT_EACH, _TIME_EACH, _THROUGHPUT)),
        Row("Who are the clients?", (_WHO, _SERVERS)),
        Row("What does it ask of PostgreSQL?", (_OVERCOMMIT, _VERSIONS, _TIMEOUTS)),
    ),
)
