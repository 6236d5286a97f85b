"""Which pool is full, who waits in it, and whether PgBouncer itself keeps clients out."""

from typing import Final

from grafana.src.house import (
    CLEAR,
    ORANGE,
    Column,
    Query,
    Row,
    Stat,
    Table,
    TimeSeries,
    Word,
    orange,
    red,
)
from grafana.src.pgbouncer.behind import SERVER, behind
from grafana.src.pgbouncer.labels import POOL
from grafana.src.shared import LINES, added_up

_POOL_NAME: Final = "{{target}} {{database}}/{{user}}"


_SIZE: Final = f"max by ({POOL}) (pgconn_pgbouncer_pool_size)"
_BUSY: Final = added_up(POOL, 'pgconn_pgbouncer_pool_servers{state!~"idle|used"}')
_ACTIVE: Final = added_up(POOL, 'pgconn_pgbouncer_pool_clients{state="active"}')
_WAITING: Final = added_up(POOL, 'pgconn_pgbouncer_pool_clients{state="waiting"}')
_MAX_WAIT: Final = f"max by ({POOL}) (pgconn_pgbouncer_pool_max_wait_seconds)"
# A pool without a limit has no size, and no share of it.
_UNLIMITED: Final = -1
_LIMITED: Final = f"{_BUSY} * 0 + ({_UNLIMITED})"

_TABLE: Final = Table(
    title="Pools",
    question="Which pool has no connection left for its clients?",
    meaning="Used are the pool's connections to PostgreSQL that serve a client now. A share above"
    " 100 % is the reserve. Where clients wait long although a pool is not full, PgBouncer gets no"
    " connection to PostgreSQL, or the database is paused.",
    then="A full pool is rarely too small: click PostgreSQL to see whether what it runs is slow,"
    " blocked, or idle in transaction. Only if all is well there, raise pool_size as the runbook of"
    " PgBouncerPoolSaturated says.",
    queries=(
        Query(expr=behind(_BUSY)),
        Query(expr=behind(f"{_SIZE} or on ({POOL}) {_LIMITED}")),
        Query(expr=behind(f"{_BUSY} / on ({POOL}) ({_SIZE} > 0) or on ({POOL}) {_LIMITED}")),
        Query(expr=behind(_ACTIVE)),
        Query(expr=behind(_WAITING)),
        Query(expr=behind(_MAX_WAIT)),
    ),
    columns=(
        Column(name="target", title="PgBouncer"),
        Column(name="database", title="Database"),
        Column(name="user", title="User"),
        SERVER,
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

_WAITERS: Final = TimeSeries(
    title="Clients that wait",
    question="In which pool do clients queue, and since when?",
    meaning="Only those that want a query run and have no connection to PostgreSQL for it.",
    then="Compare with the same moment below: did transactions take longer, or come more often?",
    queries=(Query(expr=f"topk({LINES}, {_WAITING})", legend=_POOL_NAME),),
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
    queries=(Query(expr=f"topk({LINES}, {_MAX_WAIT})", legend=_POOL_NAME),),
    unit="s",
    width=7,
    wide_legend=False,
    steps=(red("pgbouncer_wait"),),
)

POOLS: Final = Row(
    "Which pool is full, and who waits?", (_TABLE, _WAITED, _WAITERS, _CLIENT_SLOTS, _PAUSED)
)
"""How full each pool is, its queue, and why PgBouncer itself may keep clients out."""
