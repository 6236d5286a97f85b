"""Who holds the connections, and which of them nobody needs any more."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    PURPLE,
    YELLOW,
    BarGauge,
    Column,
    Heatmap,
    Page,
    Query,
    Row,
    Stat,
    Table,
    TimeSeries,
    Word,
    Words,
    orange,
    red,
    to,
)

_OTHERS: Final = 'client!="pgconn-exporter"'
_NOTHING: Final = Word("no size", CLEAR)
"""Stands where there is nothing to measure against; its value is -1."""

_STATES: Final[Words] = {
    "active": Word("active", GREEN),
    "idle": Word("idle", BLUE),
    "idle in transaction": Word("idle in transaction", YELLOW),
    "idle in transaction (aborted)": Word("idle in transaction (aborted)", PURPLE),
    "fastpath function call": Word("fastpath function call", GREY),
    "disabled": Word("disabled", GREY),
    "starting": Word("starting", GREY),
}


def _rows(expr: str, rows: str, by: str, otherwise: str = "* 0") -> str:
    """Complete an expression, so that a table has all rows; `otherwise` makes the other value."""
    return f"{expr} and on ({by}) {rows} or on ({by}) {rows} {otherwise}"


# --- Clients


_CLIENT: Final = "target, client"
_HELD_BY_CLIENT: Final = f"max by ({_CLIENT}) (pgconn_client_connections{{{_OTHERS}}})"
_HOLDERS: Final = f"topk(100, {_HELD_BY_CLIENT})"
_LINES: Final = 20
"""As many lines as a person can tell apart, of many targets."""
_USABLE: Final = "max by (target) (pgconn_slots_usable > 0)"
_ORPHANS: Final = f"pgconn_orphaned_connections{{{_OTHERS}}}"
_BUSY: Final = f"""\
max by ({_CLIENT}) (
  avg_over_time(pgconn_client_busy_connections{{{_OTHERS}}}[1m])
    / on (job, instance, target, client) (pgconn_client_pool_size >= @{{pool_saturated_from}})
)"""


def _orphans_by(labels: str, orphans: str = _ORPHANS) -> str:
    """Add up what one exporter sees, of those that may watch the same server."""
    return f"max by ({labels}) (sum by (job, instance, {labels}) ({orphans}))"


def _of_clients(expr: str, otherwise: str = "* 0") -> str:
    return _rows(expr, _HOLDERS, _CLIENT, otherwise)


_BY_CLIENT: Final = Table(
    title="Connections by client",
    question="Who holds the connections, and who takes more and more?",
    meaning="A pool is full when all of its connections are busy, on average of a minute. A client"
    " beyond its pool leaks, or its dead workers left theirs behind.",
    then="Click on a client: what it holds, or what it does. One that grows and is idle leaks:"
    " restart it, or end its idle connections as the runbook PostgresClientHogsSlots says.",
    queries=(
        Query(expr=_HOLDERS),
        Query(expr=_of_clients(f"{_HOLDERS} / on (target) group_left () {_USABLE}")),
        Query(
            expr=_of_clients(
                f"max by ({_CLIENT}) (deriv(pgconn_client_connections{{{_OTHERS}}}[5m])) * 60"
            )
        ),
        Query(
            expr=_of_clients(
                f"clamp_min({_HOLDERS} - on ({_CLIENT})"
                f" max by ({_CLIENT}) (pgconn_client_pool_size), 0)",
                "* 0 - 1",
            )
        ),
        Query(expr=_of_clients(_BUSY, "* 0 - 1")),
        Query(expr=_of_clients(_orphans_by(_CLIENT))),
        Query(
            expr=_of_clients(
                f"max by ({_CLIENT})"
                f' (pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {_OTHERS}}})'
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(
                to(Dashboard.CONNECTIONS, "target", "client", row=True),
                to(Dashboard.LOAD, "target", "client", row=True),
                to(Dashboard.BLOCKING, "target", "client", row=True),
            ),
        ),
        Column(name="A", title="Connections", unit="short"),
        Column(
            name="B",
            title="Of usable slots",
            unit="percentunit",
            base=BLUE,
            decimals=0,
            bar=True,
            top=1,
        ),
        Column(name="C", title="Grows a minute", unit="short", decimals=1),
        Column(
            name="D",
            title="Beyond its pool",
            unit="short",
            steps=(orange(1),),
            base=CLEAR,
            words={-1: _NOTHING},
        ),
        Column(
            name="E",
            title="Pool busy",
            unit="percentunit",
            steps=(red("pool_saturated"),),
            base=CLEAR,
            words={-1: _NOTHING},
            decimals=0,
        ),
        Column(name="F", title="Orphaned", unit="short"),
        Column(
            name="G",
            title="Idle in transaction for",
            unit="s",
            steps=(orange("idle_in_transaction"),),
            base=CLEAR,
        ),
    ),
    order="Connections",
    unit="short",
    width=24,
    empty="No client is connected",
)

_SLOTS: Final = Stat(
    title="Slots used",
    question="How full is the server?",
    meaning="Of the slots that an ordinary role may take.",
    then="See the largest client in the table. When nobody can connect any more, end idle"
    " connections as the runbook PostgresSlotsCritical says.",
    queries=(
        Query(
            expr="max by (target) (pgconn_slots_used"
            " / on (job, instance, target) (pgconn_slots_usable > 0))",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    steps=(orange("slots_high"), red("slots_critical")),
    empty="Unknown",
    decimals=0,
)

_FILLED: Final = Stat(
    title="Orphans fill the slots",
    question="Are slots short because of connections that nobody needs?",
    meaning="The share of the usable slots that orphans hold. As long as many slots are free they"
    " are in nobody's way: No.",
    then="End them: the table of orphans tells which and how, the runbook"
    " PostgresOrphansExhaustSlots the statements.",
    queries=(
        Query(
            expr=f"""\
max by (target) (
  sum by (job, instance, target) ({_ORPHANS})
    / on (job, instance, target) (pgconn_slots_usable > 0)
    * on (job, instance, target) (
      pgconn_slots_used / on (job, instance, target) (pgconn_slots_usable > 0)
        > bool @{{orphans_share_from}}
    )
)
or on (target) max by (target) (pgconn_slots_used) * 0""",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    steps=(red("orphans_share"),),
    words={0: Word("No", GREEN)},
    empty="Unknown",
    decimals=0,
)

_OVERCOMMITTED: Final = Stat(
    title="Pools exceed the slots by",
    question="If every client filled its pool, would the server refuse some?",
    meaning="The configured pool sizes, added up, less the usable slots.",
    then="Make the largest pools smaller, or put PgBouncer in between: runbook"
    " PostgresPoolsExceedSlots.",
    queries=(
        Query(
            expr="clamp_min(max by (target) ("
            "sum by (job, instance, target) (pgconn_client_pool_size)"
            " - on (job, instance, target) pgconn_slots_usable), 0)",
            legend="{{target}}",
        ),
    ),
    unit="short",
    width=8,
    steps=(orange(1),),
    words={0: Word("No", GREEN)},
    empty="No client has a pool_size",
    decimals=0,
)

_COURSE: Final = TimeSeries(
    title="Course by client",
    question="Whose connections grow, since when?",
    meaning="Steps are a job or a deployment, a steady rise is a leak, a comb is churn.",
    then="Who rises and does not fall again opens connections without closing them: restart it, and"
    " see PostgresOrphanedConnections for the cure.",
    queries=(Query(expr=f"topk({_LINES}, {_HELD_BY_CLIENT})", legend="{{target}} {{client}}"),),
    unit="short",
    width=12,
    stacked=True,
    decimals=0,
    empty="No client is connected",
)

_BY_STATE: Final = TimeSeries(
    title="Course by state",
    question="Do the connections work, rest, or stand in the way?",
    then="Idle ones that grow: a leak. Idle in transaction: runbook PostgresIdleInTransaction."
    " Active ones that grow: see what they wait for on Load and statements.",
    queries=(
        Query(
            expr="max by (target, state) (sum by (job, instance, target, state)"
            f" (pgconn_connections{{{_OTHERS}}}))",
            legend="{{target}} {{state}}",
        ),
    ),
    unit="short",
    width=12,
    stacked=True,
    colours={
        " active$": GREEN,
        " idle$": BLUE,
        " idle in transaction$": YELLOW,
        r" idle in transaction \(aborted\)$": PURPLE,
        " (starting|disabled|fastpath function call)$": GREY,
    },
    decimals=0,
    links=(to(Dashboard.LOAD, "target"),),
    empty="No client is connected",
)

_HOLDING: Final = Row(
    "Who holds the connections?",
    (_BY_CLIENT, _SLOTS, _FILLED, _OVERCOMMITTED, _COURSE, _BY_STATE),
)


# --- Each of them


_WHO: Final = "target, client, client_addr, usename, application_name, datname, state"
_HELD: Final = f"topk(200, max by ({_WHO}) (pgconn_connections{{{_OTHERS}}}))"

_DETAIL: Final = Table(
    title="Connections by client, address, user, application, database and state",
    question="Which process on which host is it, and for how long has it been so?",
    meaning="The 200 largest groups. The time is that of the group's longest in its state.",
    then="Click on a column's title to order by it. With address, user and application the"
    " statements of PostgresOrphanedConnections find and end exactly these.",
    queries=(
        Query(expr=_HELD),
        Query(expr=_rows(f"{_HELD} / on (target) group_left () {_USABLE}", _HELD, _WHO)),
        Query(
            expr=_rows(
                f"max by ({_WHO}) (pgconn_connection_state_age_max_seconds{{{_OTHERS}}})",
                _HELD,
                _WHO,
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(to(Dashboard.LOAD, "target", "client", row=True),),
        ),
        Column(name="client_addr", title="Address"),
        Column(name="usename", title="User"),
        Column(name="application_name", title="Application"),
        Column(name="datname", title="Database"),
        Column(name="state", title="State", words=_STATES, width=200),
        Column(name="A", title="Connections", unit="short", width=130),
        Column(name="B", title="Of usable slots", unit="percentunit", decimals=1, width=120),
        Column(name="C", title="Longest", unit="s", width=110),
    ),
    order="Connections",
    unit="short",
    width=24,
    height=10,
    empty="No client is connected",
)

_EACH: Final = Row("Which of its processes, in which state, for how long?", (_DETAIL,))


# --- Orphans


_REASON: Final = "target, client, reason"
_FOUND: Final = _orphans_by(_REASON)
_RUNS_ON: Final = f'reason=~"query_outlived_client|client_gone", {_OTHERS}'
_RUN_ON: Final = f"pgconn_orphaned_connections{{{_RUNS_ON}}}"
_LEFT_IDLE: Final = f'pgconn_orphaned_connections{{reason=~"idle_.+", {_OTHERS}}}'
_OF_POOL: Final = (
    f"{_orphans_by(_REASON, _RUN_ON)} * 0 + on ({_CLIENT}) group_left () ("
    f"{_orphans_by(_CLIENT, _RUN_ON)} / on ({_CLIENT})"
    f" max by ({_CLIENT}) (pgconn_client_pool_size > 0))"
)
_REASONS: Final[Words] = {
    "client_gone": Word("client_gone: proven, safe to end", PURPLE),
    "query_outlived_client": Word("query_outlived_client: lower statement_timeout", GREY),
    "idle_in_transaction_too_long": Word(
        "idle_in_transaction_too_long: end it, it keeps its locks", YELLOW
    ),
    "idle_too_long": Word("idle_too_long: leaked or cut off, restart the client", BLUE),
}


def _of_found(expr: str, otherwise: str = "* 0") -> str:
    return _rows(expr, _FOUND, _REASON, otherwise)


_BY_REASON: Final = Table(
    title="Orphaned connections, and what to do",
    question="Which connections does nobody need any more, and how is that known?",
    meaning="client_gone: the client's end of the socket is closed, or its PgBouncer let go."
    " query_outlived_client: its query runs for longer than its client waits."
    " idle_in_transaction_too_long: a transaction was left open. idle_too_long: its pool would have"
    " closed it.",
    then="client_gone: end them, nobody receives the answer, then set"
    " client_connection_check_interval. query_outlived_client: set statement_timeout below the"
    " client's request_timeout. idle_in_transaction_too_long: end them, then set"
    " idle_in_transaction_session_timeout. idle_too_long: restart the client. Statements are in the"
    " runbooks PostgresQueriesOutliveClient and PostgresOrphanedConnections.",
    queries=(
        Query(expr=_FOUND),
        Query(expr=_of_found(_orphans_by(_REASON, _RUN_ON))),
        Query(expr=_of_found(_OF_POOL, "* 0 - 1")),
        Query(expr=_of_found(_orphans_by(_REASON, _LEFT_IDLE))),
        Query(
            expr=_of_found(
                f"max by ({_REASON}) (pgconn_orphaned_connection_age_max_seconds{{{_OTHERS}}})"
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(
            name="client",
            title="Client",
            links=(
                to(Dashboard.CONNECTIONS, "target", "client", row=True),
                to(Dashboard.EXPORTER, "target", row=True),
            ),
        ),
        Column(name="reason", title="Reason: what to do", words=_REASONS, width=400),
        Column(name="A", title="Orphaned", unit="short"),
        Column(name="B", title="Run for nobody", unit="short", steps=(orange(1),), base=CLEAR),
        Column(
            name="C",
            title="All these of its pool",
            unit="percentunit",
            steps=(red("outlived_share"),),
            base=CLEAR,
            words={-1: _NOTHING},
            decimals=0,
        ),
        Column(
            name="D", title="Left idle", unit="short", steps=(orange("orphans_many"),), base=CLEAR
        ),
        Column(name="E", title="Longest", unit="s"),
    ),
    order="Orphaned",
    unit="short",
    width=24,
    height=7,
    empty="Nobody is orphaned",
)

_REASON_COURSE: Final = TimeSeries(
    title="Orphans by reason",
    question="Do the orphans grow, and since when?",
    then="A rise that does not fall: find the client in the table above and do what stands there."
    " Waves of client_gone: its workers are killed, see who vanished below.",
    queries=(
        Query(
            expr=_orphans_by("target, reason"),
            legend="{{target}} {{reason}}",
        ),
    ),
    unit="short",
    width=12,
    stacked=True,
    colours={
        "client_gone$": PURPLE,
        "query_outlived_client$": GREY,
        "idle_in_transaction_too_long$": YELLOW,
        "idle_too_long$": BLUE,
    },
    decimals=0,
    empty="Nobody is orphaned",
)

_IDLE_AGE: Final = Heatmap(
    title="For how long connections have been idle",
    question="Are idle connections used again, or forgotten?",
    meaning="A pool in use stays at the bottom. A cloud that climbs is a set of connections that"
    " nobody has used since; one in steps is a job that leaves some at each run.",
    then="Choose a client above to see its own. What climbs can be ended as the runbook"
    " PostgresOrphanedConnections says.",
    queries=(
        Query(
            expr="sum by (le) (max by (target, client, le)"
            f" (pgconn_idle_age_seconds_bucket{{{_OTHERS}}}))",
            legend="{{le}}",
        ),
    ),
    unit="s",
    width=12,
    empty="No connection is idle",
)

_ORPHANED: Final = Row(
    "Which of them does nobody need any more?", (_BY_REASON, _REASON_COURSE, _IDLE_AGE)
)


# --- Pools


_SATURATION: Final = TimeSeries(
    title="Busy connections of the pool",
    question="Do a client's requests wait for its own pool, however free the server is?",
    meaning="On average of a minute; clients with a pool_size only, and no tiny pools.",
    then="Red: see what keeps them busy on Load and statements, or who blocks them on Blocking;"
    " runbook PostgresClientPoolSaturated. A larger pool comes last.",
    queries=(Query(expr=f"topk({_LINES}, {_BUSY})", legend="{{target}} {{client}}"),),
    unit="percentunit",
    width=12,
    steps=(red("pool_saturated"),),
    links=(to(Dashboard.LOAD, "target", "client"), to(Dashboard.BLOCKING, "target", "client")),
    empty="No client has a pool_size",
)

_CHURN: Final = TimeSeries(
    title="Connections opened",
    question="Who opens connections all the time, in place of keeping them?",
    meaning="A lower bound: what comes and goes between two polls is not seen. Dashed: closed. When"
    " both rise at once, workers died and came back.",
    then="Have the client keep its connections: CONN_MAX_AGE, a pool, or PgBouncer; runbook"
    " PostgresConnectionChurn.",
    queries=(
        Query(
            expr=f"topk({_LINES}, max by ({_CLIENT})"
            f" (rate(pgconn_connections_opened_total{{{_OTHERS}}}[$__rate_interval])))",
            legend="{{target}} {{client}}",
        ),
        Query(
            expr=f"topk({_LINES}, max by ({_CLIENT})"
            f" (rate(pgconn_connections_closed_total{{{_OTHERS}}}[$__rate_interval])))",
            legend="{{target}} {{client}} closed",
            dashed=True,
        ),
    ),
    unit="cps",
    width=12,
    steps=(orange("churn"),),
    empty="Nobody connects",
)

_PEAKS: Final = TimeSeries(
    title="Peaks against averages",
    question="Do bursts between two scrapes take the slots, and whose are they?",
    meaning="Share of the usable slots at the highest moment, of all and of each client. Dashed:"
    " the average of all.",
    then="A high peak over a low average is a client that opens a connection for each request: have"
    " it keep them; runbook PostgresSlotsPeak.",
    queries=(
        Query(
            expr="""\
max by (target) (
  max_over_time(pgconn_slots_used_peak[3m])
    / on (job, instance, target) (pgconn_slots_usable > 0)
)""",
            legend="{{target}} all",
        ),
        Query(
            expr=f"""\
topk({_LINES},
  max by ({_CLIENT}) (
    pgconn_connections_peak{{{_OTHERS}}}
      / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
  )
)""",
            legend="{{target}} {{client}}",
        ),
        Query(
            expr="""\
max by (target) (
  avg_over_time(pgconn_slots_used[5m])
    / on (job, instance, target) (pgconn_slots_usable > 0)
)""",
            legend="{{target}} all, average",
            dashed=True,
        ),
    ),
    unit="percentunit",
    width=12,
    steps=(orange("peak_high"),),
    top=1,
    empty="Unknown",
)

_LIMITS: Final = BarGauge(
    title="CONNECTION LIMIT used",
    question="Which role or database is about to be refused, however many slots are free?",
    meaning="The ten nearest of each, of those that have a limit.",
    then="See in the table of connections which client it is and whether it is idle; raise the"
    " limit as the runbooks PostgresRoleLimitNear and PostgresDatabaseLimitNear say.",
    queries=(
        Query(
            expr="""\
topk(10, max by (target, usename) (
  pgconn_role_connections
    / on (job, instance, target, usename) (pgconn_role_connection_limit > 0)
))""",
            legend="{{target}} role {{usename}}",
        ),
        Query(
            expr="""\
topk(10, max by (target, datname) (
  pgconn_database_connections
    / on (job, instance, target, datname) (pgconn_database_connection_limit > 0)
))""",
            legend="{{target}} database {{datname}}",
        ),
    ),
    unit="percentunit",
    width=12,
    steps=(orange("limit_near"),),
    top=1,
    decimals=0,
    empty="No limit is set",
)

_POOLS: Final = Row(
    "Is a pool full, a limit near, or do they come and go?",
    (_SATURATION, _CHURN, _PEAKS, _LIMITS),
)


# --- Ends


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

_ENDS: Final = Row("How did sessions end?", (_VANISHED, _ENDED))


# --- Replication


_SLOT: Final = "target, slot_name, slot_type"
_ACTIVE: Final = f"max by ({_SLOT}) (pgconn_replication_slot_active)"
_RETAINED: Final = f"max by ({_SLOT}) (pgconn_replication_slot_retained_bytes)"

_WAL_SENDERS: Final = Stat(
    title="WAL senders used",
    question="Can one more standby, consumer or backup connect?",
    meaning="Of max_wal_senders; they take none of the clients' slots.",
    then="See pg_stat_replication for who they are; end those of consumers that are gone: runbook"
    " PostgresWalSendersHigh.",
    queries=(
        Query(
            expr="max by (target) (pgconn_wal_senders_used"
            " / on (job, instance, target) (pgconn_wal_senders_max > 0))",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=6,
    height=6,
    steps=(orange("wal_senders_high"),),
    empty="No WAL sender is allowed",
    decimals=0,
)

_SLOTS_KEPT: Final = Table(
    title="Replication slots",
    question="Is WAL kept for a consumer that does not come any more?",
    then="Start the consumer again, or drop the slot before the disk is full: runbook"
    " PostgresReplicationSlotInactive.",
    queries=(
        Query(expr=_ACTIVE),
        Query(expr=_rows(_RETAINED, _ACTIVE, _SLOT)),
        Query(
            expr=_rows(
                f"{_RETAINED} and on ({_SLOT}) {_ACTIVE} == 0 and on ({_SLOT})"
                f" max by ({_SLOT}) (delta(pgconn_replication_slot_retained_bytes[30m])) > 0",
                _ACTIVE,
                _SLOT,
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(name="slot_name", title="Slot"),
        Column(name="slot_type", title="Type"),
        Column(
            name="A",
            title="Consumer",
            unit="short",
            words={0: Word("absent", GREY), 1: Word("connected", GREEN)},
        ),
        Column(name="B", title="WAL kept", unit="bytes"),
        Column(
            name="C",
            title="Growing for nobody",
            unit="bytes",
            steps=(orange("slot_retained"),),
            base=CLEAR,
        ),
    ),
    order="WAL kept",
    unit="bytes",
    width=18,
    height=6,
    empty="There is no replication slot",
)

_REPLICATION: Final = Row("Replication", (_WAL_SENDERS, _SLOTS_KEPT))

PAGE: Final = Page(
    uid=Dashboard.CONNECTIONS,
    title="Who holds the connections",
    answers="Who holds the connections, in which state and for how long, and which of them nobody"
    " needs any more.",
    rows=(_HOLDING, _EACH, _ORPHANED, _POOLS, _ENDS, _REPLICATION),
    clients=True,
)
