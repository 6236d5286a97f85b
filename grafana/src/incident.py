"""Where the pager leads: can clients connect, how long still, which way to go, and who is it."""

from collections.abc import Iterator
from typing import Final

from exporter.alerts import GROUPS
from exporter.alerts.model import Dashboard
from exporter.alerts.slots import FORECAST, SLOTS_RATIO
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    NO,
    ORANGE,
    RED,
    Annotation,
    Column,
    Compare,
    Link,
    Page,
    Query,
    Row,
    Stat,
    Step,
    Table,
    Timeline,
    TimeSeries,
    Word,
    orange,
    red,
    to,
)

_OTHERS = 'client!="pgconn-exporter"'
_UNKNOWN = "Unknown"
_NOTHING: Final[dict[float, Word]] = {0: Word("None", GREEN)}


def _seen(expr: str) -> str:
    """Give 0 for each server whose sessions are seen and that an expression has nothing of."""
    return f"{expr}\nor on (target)\n0 * max by (target) (pgconn_slots_used)"


# --- Can clients connect?

_REFUSED = 'increase(pgconn_probe_failures_total{sqlstate="53300"}[$__rate_interval])'
_STATE = f"""\
0 * (min by (target) (pgconn_up) == 0)
or on (target)
1 + 0 * (max by (target) ({_REFUSED}) > 0)
or on (target)
2 + min by (target) (pgconn_probe_success)
or on (target)
4 * min by (target) (pgconn_up)"""
_STATES: Final[dict[float, Word]] = {
    0: Word("Unreachable", RED),
    1: Word("Refused", RED),
    2: Word("No", RED),
    3: Word("Yes", GREEN),
    4: Word("Not probed", BLUE),
}
_BUSY_POOLS = """\
topk by (target) (1,
  max by (target, client) (
    avg_over_time(pgconn_client_busy_connections[1m])
      / on (job, instance, target, client)
        (pgconn_client_pool_size >= @{pool_saturated_from})
  )
)"""

_CAN = Row(
    "Can clients connect?",
    (
        Stat(
            title="Clients can connect",
            question="Is a new connection accepted now?",
            meaning=(
                "The exporter's probe logs in anew, as a client does. Refused: all slots are taken"
                " (SQLSTATE 53300). No: another error. Unreachable: the exporter's own connection"
                " is gone, too. Unknown: no exporter answers."
            ),
            then=(
                "Refused: make room at the largest holder below (runbook"
                " PostgresConnectionsRefused). Else: runbooks PostgresProbeFailing,"
                " PgconnTargetUnreachable and PgconnExporterDown."
            ),
            queries=(Query(expr=_STATE, legend="{{target}}"),),
            unit="short",
            width=4,
            words=_STATES,
            base=RED,
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Failing since",
            question="For how long has no new connection been accepted?",
            then="Compare it with what was deployed then, and with the graphs at the end.",
            queries=(
                Query(
                    expr="""\
1000 * min by (target) (pgconn_probe_failing_since_timestamp_seconds)
or on (target)
0 * min by (target) (pgconn_probe_success)""",
                    legend="{{target}}",
                ),
            ),
            unit="dateTimeFromNow",
            width=4,
            steps=(red(1),),
            base=GREY,
            words={0: Word("Accepted", GREEN)},
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Slots used",
            question="How full are the slots that clients may take?",
            then=(
                "Find the largest holder below and see whether what it holds is idle (runbook"
                " PostgresSlotsCritical)."
            ),
            queries=(Query(expr=f"max by (target) ({SLOTS_RATIO})", legend="{{target}}"),),
            unit="percentunit",
            width=4,
            steps=(orange("slots_high"), red("slots_critical")),
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Full in",
            question="How long until the slots are full?",
            meaning="At the rate of the last minutes, where they fill up steadily.",
            then=(
                "See below which client grows, and stop it before the slots run out (runbook"
                " PostgresSlotsExhaustionForecast)."
            ),
            queries=(
                Query(
                    expr=f"""\
min by (target) (
{FORECAST}
)
or on (target)
-2 + 0 * max by (target) (
  pgconn_slots_used >= on (job, instance, target) pgconn_slots_usable
)
or on (target)
-1 + 0 * max by (target) (pgconn_slots_used)""",
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange(NO),),
            base=GREY,
            words={-2: Word("Now", BLUE), -1: Word("Steady", GREEN)},
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Fullest pool of a client",
            question="Do requests wait for a connection of their own application's pool?",
            meaning=(
                "Connections that are not idle, of the pool size in the exporter's configuration:"
                " with all of them busy, requests wait however many slots are free."
            ),
            then=(
                "Go on below: busy with orphans, behind a lock, or with slow queries (runbook"
                " PostgresClientPoolSaturated)?"
            ),
            queries=(Query(expr=_BUSY_POOLS, legend="{{target}} {{client}}"),),
            unit="percentunit",
            width=4,
            steps=(red("pool_saturated"),),
            empty="No pool size known",
            links=(to(Dashboard.CONNECTIONS, "target", "client"),),
            decimals=0,
            named=True,
        ),
        Stat(
            title="Longest wait in PgBouncer",
            question="Do clients wait for PgBouncer to give them a server connection?",
            then=(
                "If PostgreSQL is slow or blocked, start there; only if not is the pool too small"
                " (runbook PgBouncerPoolSaturated)."
            ),
            queries=(
                Query(
                    expr="max by (target) (pgconn_pgbouncer_pool_max_wait_seconds)",
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(red("pgbouncer_wait"),),
            words={0: Word("Nobody waits", GREEN)},
            empty="No PgBouncer",
            links=(to(Dashboard.PGBOUNCER, "target"),),
            decimals=1,
        ),
    ),
)

# --- Which way do I go?

_OUTLIVED = f'reason=~"query_outlived_client|client_gone", {_OTHERS}'
# What the alerts count: queries that nobody waits for, and what is idle where that is many.
_ORPHANS = f"""\
max by (target) (
  sum by (job, instance, target) (
    sum by (job, instance, target, client, reason) (
      pgconn_orphaned_connections{{{_OUTLIVED}}}
    )
    or on (job, instance, target, client, reason)
    sum by (job, instance, target, client, reason) (
      pgconn_orphaned_connections{{reason=~"idle_.+", {_OTHERS}}}
    ) >= @{{orphans_many}}
  )
)"""

_HOG = f"""\
topk by (target) (1,
  max by (target, client) (
    pgconn_client_connections{{{_OTHERS}}}
      / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
    and on (job, instance, target) ({SLOTS_RATIO} > @{{client_share_from}})
  )
)"""

_WAY = Row(
    "Which way do I go? A click leads there",
    (
        Stat(
            title="Holder of most slots",
            question="Does one client take the slots of all others?",
            meaning=(
                "The client that holds most, where more than @{client_share_from.words} of the"
                " usable slots are used."
            ),
            then=(
                "See on the next dashboard whether what it holds is idle: restart it, or end its"
                " idle connections (runbook PostgresClientHogsSlots)."
            ),
            queries=(Query(expr=_seen(_HOG), legend="{{target}} {{client}}"),),
            unit="percentunit",
            width=4,
            steps=(orange("client_share"),),
            words={0: Word("Nobody", GREEN)},
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
            named=True,
        ),
        Stat(
            title="Orphaned connections",
            question="Do connections that nobody needs any more take the slots?",
            meaning=(
                "Queries that nobody waits for any more, and idle connections of a client that has"
                " left many."
            ),
            then=(
                "See their reasons on the next dashboard; restart that client or end them (runbooks"
                " PostgresQueriesOutliveClient and PostgresOrphanedConnections)."
            ),
            queries=(Query(expr=_seen(_ORPHANS), legend="{{target}}"),),
            unit="short",
            width=4,
            steps=(orange(1),),
            words=_NOTHING,
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Blocked sessions",
            question="Do sessions wait for a lock that another one holds?",
            then=(
                "End or finish the root blocker below, never its victims (runbooks"
                " PostgresRootBlockerIdle and PostgresSessionsBlocked)."
            ),
            queries=(
                Query(
                    expr=_seen(f"""\
max by (target) (
  sum by (job, instance, target) (pgconn_blocked_connections{{{_OTHERS}}})
)"""),
                    legend="{{target}}",
                ),
            ),
            unit="short",
            width=4,
            steps=(orange("blocked_many"),),
            words=_NOTHING,
            empty=_UNKNOWN,
            links=(to(Dashboard.BLOCKING, "target"),),
        ),
        Stat(
            title="Longest idle in transaction",
            question="Has somebody left a transaction open, and does nothing?",
            then=(
                "Its last query tells which code left it open; end the session if others wait for"
                " it (runbook PostgresIdleInTransaction)."
            ),
            queries=(
                Query(
                    expr=_seen(f"""\
max by (target) (
  pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {_OTHERS}}}
)"""),
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange("idle_in_transaction"),),
            words=_NOTHING,
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Longest unblocked query",
            question="Is a query slow by itself?",
            meaning="Those that wait for a lock are victims, and not counted.",
            then=(
                "Find whose it is, and the statement, on the next dashboard (runbook"
                " PostgresSlowCulprits)."
            ),
            queries=(
                Query(
                    expr=_seen(f"""\
max by (target) (
  pgconn_query_age_max_seconds{{blocked="false", {_OTHERS}}}
)"""),
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange("slow_query"),),
            words=_NOTHING,
            empty=_UNKNOWN,
            links=(to(Dashboard.LOAD, "target"),),
            decimals=0,
        ),
        Stat(
            title="Timeouts that do not fit",
            question="Does a wrong timeout make it worse?",
            meaning=(
                "Rules that a timeout of the server breaks, of all clients: why orphans are not"
                " ended by themselves. Blue is no alarm, it is what to mend afterwards."
            ),
            then="The next dashboard has each with its cure (runbook PostgresTimeoutMismatch).",
            queries=(
                Query(
                    expr="max by (target) (sum by (job, instance, target)"
                    " (pgconn_timeout_mismatch))\n"
                    "or on (target)\n0 * max by (target) (pgconn_slots_usable)",
                    legend="{{target}}",
                ),
            ),
            unit="short",
            width=4,
            steps=(Step(BLUE, 1),),
            words=_NOTHING,
            empty=_UNKNOWN,
            links=(to(Dashboard.EXPORTER, "target"),),
        ),
    ),
)

# --- What fires, and who is it?


def _firing(*matchers: str, when: str = "") -> str:
    """Give the alerts of what was chosen: its own, of what is before it, and those of everybody."""
    more = "".join(f", {matcher}" for matcher in matchers)
    return f"""\
(
  ALERTS{{alertstate="firing", target=~"$target|"{more}}}{when}
  or ALERTS{{alertstate="firing", server=~"$target", target!~"$target|"{more}}}{when}
)"""


def _next_dashboards() -> Iterator[tuple[Dashboard, str]]:
    """Give the dashboards but the one that is the default, and the alerts that lead there."""
    leads = {
        rule.alert: Dashboard.EXPORTER if rule.alert.startswith("Pgconn") else rule.dashboard
        for group in GROUPS
        for rule in group.rules
    }
    for dashboard in (Dashboard.BLOCKING, Dashboard.LOAD, Dashboard.PGBOUNCER, Dashboard.EXPORTER):
        names = [alert for alert, led in leads.items() if led is dashboard]
        yield dashboard, "|".join(names)


def _row_of_alert(expr: str) -> str:
    """Name what an alert is about, and the dashboard that comes next, in labels that all have."""
    for label in ("target", "client"):
        expr = f'label_replace({expr}, "{label}", "-", "{label}", "")'
    ways = [(Dashboard.CONNECTIONS, ".*"), *_next_dashboards()]
    for dashboard, names in ways:
        expr = f'label_replace({expr}, "next", "{dashboard}", "alertname", "{names}")'
    return expr


_ALERT = "alertname, target, client"
# Which of them, the other side of the `and` says.
_SINCE = f"""\
1000 * min by ({_ALERT}) (
  ALERTS_FOR_STATE{{target=~".*"}} and ignoring (alertstate) {_firing()}
)
or on ({_ALERT})
0 * max by ({_ALERT}) ({_firing()})"""
_SEVERITY = "\nor ".join(
    f"{number} * max by ({_ALERT}) ({_firing(*matchers)})"
    for number, matchers in (
        (3, ('severity="critical"',)),
        (2, ('severity="warning"',)),
        (1, ()),
    )
)
_NEXT: Final = {
    Dashboard.CONNECTIONS: "Connections",
    Dashboard.BLOCKING: "Blocking",
    Dashboard.LOAD: "Load",
    Dashboard.PGBOUNCER: "PgBouncer",
    Dashboard.EXPORTER: "Exporter",
}
_RUNBOOK = Link("Runbook", "@{runbooks}/${__data.fields.alertname:percentencode}.md")
_GO = Link("Go there", "/d/${__value.raw}?" + to(Dashboard.CONNECTIONS).url.partition("?")[2])

_BY_CLIENT = f"max by (target, client) (pgconn_client_connections{{{_OTHERS}}})"
_HOLDERS = f"topk(50, {_BY_CLIENT})"


def _of_holders(expr: str) -> str:
    """Give just the rows of the table of clients, completed with 0."""
    return f"{expr}\nand on (target, client)\n{_HOLDERS}\nor on (target, client)\n0 * {_HOLDERS}"


_BLOCKER = "target, client, usename, application_name, client_addr, datname, state"
_SESSION = "target, client, usename, application_name, datname"
_RESTING = f'state=~"idle in transaction.*|prepared", {_OTHERS}'
_VICTIMS = f"topk(20, max by ({_BLOCKER}) (pgconn_root_blocker_victims))"
_VICTIMS_OF_RESTING = f"""\
0 * max by ({_BLOCKER}) (pgconn_root_blocker_victims{{{_RESTING}}})
+ on ({_SESSION}) group_left ()
max by ({_SESSION}) (
  sum by (job, instance, {_SESSION}) (pgconn_root_blocker_victims{{{_RESTING}}})
)"""

_STATEMENT = "target, datname, usename, queryid"
_MEANS = f"max by ({_STATEMENT}) (avg_over_time(pgconn_statement_recent_mean_seconds[10m]))"
# Faster than a millisecond is nobody's trouble, and all that the exporter asks itself.
_SLOWEST = f"topk(10, {_MEANS} > 0.001)"
_BEFORE = _MEANS.replace("[10m]", "[10m] offset $compare")


def _with_text(expr: str) -> str:
    """Name a statement by its text."""
    return f"""\
({expr})
* on ({_STATEMENT}) group_left (query)
topk by ({_STATEMENT}) (1, max by ({_STATEMENT}, query) (pgconn_statement_info))"""


_CONNECTIONS_OF_ROW = to(Dashboard.CONNECTIONS, "target", "client", row=True)
_TARGET = Column(name="target", title="Target", width=80)
_DATABASE = Column(name="datname", title="Database", width=120)
_CLIENT = Column(name="client", title="Client", width=100, links=(_CONNECTIONS_OF_ROW,))

_WHO = Row(
    "What fires, and who is it?",
    (
        Table(
            title="Alerts that fire",
            question="What is wrong, and since when?",
            meaning="Whatever is chosen, alerts of the exporter itself are here, too.",
            then="A click on its name opens its runbook, one at the right the dashboard for it.",
            queries=(
                Query(expr=_row_of_alert(_SINCE)),
                Query(expr=_row_of_alert(_SEVERITY)),
            ),
            unit="short",
            width=12,
            columns=(
                Column(
                    name="B",
                    title="Severity",
                    unit="short",
                    width=88,
                    words={
                        3: Word("page", RED),
                        2: Word("ticket", ORANGE),
                        1: Word("info", BLUE),
                    },
                ),
                Column(name="alertname", title="Alert", links=(_RUNBOOK,)),
                Column(name="target", title="Target", width=105),
                Column(name="client", title="Client", width=90),
                Column(
                    name="A",
                    title="Since",
                    unit="dateTimeFromNow",
                    width=142,
                    words={0: Word("unknown", CLEAR)},
                    base=CLEAR,
                ),
                Column(
                    name="next",
                    title="Go to",
                    width=100,
                    words={each.value: Word(title, BLUE) for each, title in _NEXT.items()},
                    links=(_GO,),
                ),
            ),
            order="Severity",
            empty="No alert fires",
        ),
        Table(
            title="Who holds the connections",
            question="Which client takes the slots, and does it use what it takes?",
            meaning=(
                "The 50 largest. Pool size is that of the exporter's configuration, 0 where it has"
                " none. What grows and is idle is a leak; more than the pool size is one, or its"
                " workers died."
            ),
            then=(
                "Restart the client at the top, or end what it left idle (runbooks"
                " PostgresClientHogsSlots and PostgresClientExceedsPool). A click on it leads to"
                " its connections."
            ),
            queries=(
                Query(expr=_HOLDERS),
                Query(
                    expr=_of_holders(f"""\
max by (target, client) (
  pgconn_client_connections{{{_OTHERS}}}
    / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
)""")
                ),
                Query(
                    expr=_of_holders(
                        f"max by (target, client) (pgconn_client_busy_connections{{{_OTHERS}}})"
                    )
                ),
                Query(expr=_of_holders("max by (target, client) (pgconn_client_pool_size)")),
                Query(
                    expr=_of_holders("""\
max by (target, client) (pgconn_connection_state_age_max_seconds{state="idle"})""")
                ),
                Query(
                    expr=_of_holders(f"""\
max by (target, client) (round(delta(pgconn_client_connections{{{_OTHERS}}}[10m])))""")
                ),
            ),
            unit="short",
            width=12,
            columns=(
                _TARGET,
                _CLIENT,
                Column(name="A", title="Connections", unit="short", width=112),
                Column(name="B", title="Share of the slots", unit="percentunit", bar=True, top=1),
                Column(name="F", title="In 10 min", unit="short", width=85),
                Column(name="C", title="Busy", unit="short", width=60),
                Column(name="D", title="Pool size", unit="short", width=80),
                Column(name="E", title="Idle up to", unit="s", width=85, decimals=0),
            ),
            order="Connections",
            empty=_UNKNOWN,
        ),
        Table(
            title="Root blockers",
            question="Who is in the way of others, and waits for nobody?",
            meaning="The last column counts the victims of one that does nothing: red pages.",
            then=(
                "End or finish the first one, never its victims (runbook PostgresRootBlockerIdle;"
                " of one that works, PostgresSessionsBlocked). A click on it leads to its locks."
            ),
            queries=(
                Query(expr=_VICTIMS),
                Query(
                    expr=f"""\
max by ({_BLOCKER}) (pgconn_root_blocker_age_max_seconds)
and on ({_BLOCKER})
{_VICTIMS}
or on ({_BLOCKER})
0 * {_VICTIMS}"""
                ),
                Query(
                    expr=f"""\
({_VICTIMS_OF_RESTING})
and on ({_BLOCKER})
{_VICTIMS}
or on ({_BLOCKER})
0 * {_VICTIMS}"""
                ),
            ),
            unit="short",
            width=24,
            height=5,
            columns=(
                _TARGET,
                Column(
                    name="client",
                    title="Client",
                    width=140,
                    links=(to(Dashboard.BLOCKING, "target", row=True),),
                ),
                Column(name="usename", title="User", width=120),
                Column(name="application_name", title="Application"),
                Column(name="client_addr", title="Address", width=130),
                _DATABASE,
                Column(name="state", title="State", width=180),
                Column(name="B", title="Open for", unit="s", width=100, decimals=0),
                Column(name="A", title="Victims", unit="short", width=85),
                Column(
                    name="C",
                    title="Blocks, and does nothing",
                    unit="short",
                    width=190,
                    steps=(red("root_blocker_victims"),),
                    base=CLEAR,
                    words={0: Word("it works", CLEAR)},
                ),
            ),
            order="Victims",
            empty="Nobody is in anybody's way",
        ),
        Table(
            title="Slowest statements",
            question="Which statement is slow, and was it before?",
            meaning=(
                "Mean of the calls of the last ten minutes, and of as many so long ago as is chosen"
                " above; 0 where it was not called then."
            ),
            then=(
                "If its factor is high, its plan or its tables changed: EXPLAIN it (runbook"
                " PostgresStatementSlower). A click on it leads to its course."
            ),
            queries=(
                Query(expr=_with_text(_SLOWEST)),
                Query(
                    expr=_with_text(
                        f"{_BEFORE}\nand on ({_STATEMENT})\n{_SLOWEST}"
                        f"\nor on ({_STATEMENT})\n0 * {_SLOWEST}"
                    )
                ),
                Query(
                    expr=_with_text(
                        f"{_SLOWEST}\n/ on ({_STATEMENT})\n({_BEFORE} > 0)"
                        f"\nor on ({_STATEMENT})\n0 * {_SLOWEST}"
                    )
                ),
            ),
            unit="short",
            width=24,
            height=7,
            columns=(
                _TARGET,
                Column(
                    name="query",
                    title="Statement",
                    links=(to(Dashboard.LOAD, "target", row=True),),
                ),
                Column(name="usename", title="User", width=120),
                _DATABASE,
                Column(name="queryid", title="queryid", width=190),
                Column(name="A", title="Mean now", unit="s", width=105),
                Column(name="B", title="Before", unit="s", width=90),
                Column(
                    name="C",
                    title="Factor",
                    unit="short",
                    width=75,
                    words={0: Word("new", CLEAR)},
                    base=CLEAR,
                    decimals=1,
                ),
            ),
            order="Mean now",
            empty="No statement takes a millisecond",
        ),
    ),
)

# --- What changed, and when?

_PAST: Final = _STATES | {5: Word("Ticket", ORANGE), 6: Word("Page", RED)}
_USABLE = "max by (target) (pgconn_slots_usable)"

_WHEN = Row(
    "What changed, and when?",
    (
        TimeSeries(
            title="Slots used, by client",
            question="Who grew, and since when?",
            meaning=(
                "Dashed are what there is, from where on an alert fires (orange and red), and all"
                " that was used so long ago as is chosen above."
            ),
            then=(
                "Look at what is marked where the curve bends: a restart, a changed timeout, a"
                " deployment. A click leads to the client's connections."
            ),
            queries=(
                Query(expr=f"topk(20, {_BY_CLIENT})", legend="{{target}} {{client}}"),
                Query(
                    expr=_USABLE, legend="{{target}} usable", dashed=True, linked=False, colour=GREY
                ),
                Query(
                    expr=f"@{{slots_high}} * {_USABLE}",
                    legend="{{target}} high",
                    dashed=True,
                    linked=False,
                    colour=ORANGE,
                ),
                Query(
                    expr=f"@{{slots_critical}} * {_USABLE}",
                    legend="{{target}} critical",
                    dashed=True,
                    linked=False,
                    colour=RED,
                ),
                Query(
                    expr="max by (target) (pgconn_slots_used offset $compare)",
                    legend="{{target}} all, before",
                    dashed=True,
                    linked=False,
                    colour=BLUE,
                ),
            ),
            unit="short",
            width=13,
            height=9,
            stacked=True,
            empty=_UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target", "client"),),
        ),
        Timeline(
            title="Could clients connect, and what fired",
            question="What came first?",
            meaning="Below each target, the alerts that paged (red) or opened a ticket (orange).",
            then="Begin with the runbook of what fired first: the others may follow from it.",
            queries=(
                Query(expr=_STATE, legend="{{target}}"),
                Query(
                    expr=f"""\
6 * max by (alertname) ({_firing('severity="critical"')})
or
5 * max by (alertname) ({_firing('severity="warning"')})""",
                    legend="{{alertname}}",
                ),
            ),
            unit="short",
            width=11,
            height=9,
            base=GREY,
            words=_PAST,
            empty=_UNKNOWN,
        ),
    ),
)

# A change that a look at every few minutes would step over is seen by the second half.
_MARKS = (
    Annotation(
        name="Server restarted",
        expr="""\
max by (target) (changes(pgconn_postmaster_start_time_seconds[2m])) > 0
or on (target)
max by (target) (changes(pgconn_postmaster_start_time_seconds[$__rate_interval])) > 0""",
        title="{{target}} was restarted",
        colour="purple",
    ),
    Annotation(
        name="Timeout changed",
        expr="max by (target, setting) (changes(pgconn_timeout_seconds[$__rate_interval])) > 0",
        title="{{setting}} of {{target}} was changed",
        colour="blue",
    ),
    Annotation(
        name="Exporter configured",
        expr="""\
max by (instance) (
  changes(pgconn_config_last_reload_success_timestamp_seconds[$__rate_interval])
) > 0""",
        title="The exporter has a new configuration",
        text="{{instance}}",
        colour="#808080",
    ),
    Annotation(
        name="Paged",
        expr=f"""\
max by (alertname, client) ({_firing('severity="critical"')})
unless on (alertname, client)
max by (alertname, client) ({_firing('severity="critical"', when=" offset $__interval")})""",
        title="{{alertname}}",
        text="{{client}}",
        colour="red",
    ),
)

PAGE: Final = Page(
    uid=Dashboard.INCIDENT,
    title="Incident",
    answers="Can clients connect, how long still, which way to go, and who is it?",
    rows=(_CAN, _WAY, _WHO, _WHEN),
    annotations=_MARKS,
    compare=Compare(),
)
