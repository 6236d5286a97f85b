"""What the sessions do or wait for, who is slow, and which statement is slower than it was."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    PURPLE,
    Column,
    Compare,
    Page,
    Query,
    Row,
    Stat,
    Table,
    TimeSeries,
    Word,
    orange,
    to,
)

_OTHERS = 'client!="pgconn-exporter"'
_LINES: Final = 20
"""As many lines as a person can tell apart, of many targets."""

# --- Average active sessions

_ACTIVE = f'pgconn_session_seconds_total{{state="active", {_OTHERS}}}'


def _active(labels: str, offset: str = "") -> str:
    """Give the average number of active sessions, by some labels."""
    return f"""\
max by ({labels}) (
  sum by (job, instance, {labels}) (rate({_ACTIVE}[$__rate_interval]{offset}))
)"""


def _ten_minutes(labels: str) -> str:
    """Give the same over ten minutes, as the alert takes it."""
    return f"""\
max by ({labels}) (
  sum by (job, instance, {labels}) (increase({_ACTIVE}[10m]) / 600)
)"""


_BY_CLIENT = _ten_minutes("target, client")
_BEFORE = Query(
    expr=_active("target", " offset $compare"),
    legend="{{target}}, before",
    dashed=True,
    colour=GREY,
    linked=False,
)
_CLIENT_LINKS = (to(Dashboard.CONNECTIONS, "target", "client"),)

_SESSIONS = Row(
    "What do the sessions do?",
    (
        TimeSeries(
            title="Active sessions by what they wait for",
            question="Do the active sessions run, or what do they wait for?",
            meaning=(
                "How many are active on average, stacked by wait event. CPU: on a processor. In"
                " grey: all of them, as long ago as is chosen above."
            ),
            then=(
                "Lock: dashboard Blocking. CPU or IO: the statement below that takes most of the"
                " time. LWLock: make the pool smaller. Client: look at the client, not here."
            ),
            queries=(
                Query(
                    expr=f"""\
label_replace(
  label_join(
topk({_LINES}, {_active("target, wait_event_type, wait_event")}),
    "wait", ":", "wait_event_type", "wait_event"
  ),
  "wait", "CPU", "wait", ":"
)""",
                    legend="{{target}} {{wait}}",
                ),
                _BEFORE,
            ),
            unit="short",
            width=12,
            height=9,
            stacked=True,
            colours={" CPU$": GREEN, " Lock:": PURPLE, " IO:": BLUE},
            empty="Nobody is active",
            decimals=1,
        ),
        TimeSeries(
            title="Active sessions by client",
            question="Whose sessions are active?",
            meaning=(
                "How many on average, stacked. In grey: all of them, as long ago as is chosen"
                " above."
            ),
            then=(
                "Does one client grow? More calls a second (below) are more requests: stem them."
                " The same calls, more sessions: its statements are slower."
            ),
            queries=(
                Query(
                    expr=f"topk({_LINES}, {_active('target, client')})",
                    legend="{{target}} {{client}}",
                ),
                _BEFORE,
            ),
            unit="short",
            width=12,
            height=9,
            stacked=True,
            empty="Nobody is active",
            links=_CLIENT_LINKS,
            decimals=1,
        ),
    ),
)

# --- Who is slow


def _oldest(blocked: str) -> str:
    return f"""\
topk({_LINES},
  max by (target, client) (
    pgconn_query_age_max_seconds{{blocked="{blocked}", {_OTHERS}}}
  )
)"""


def _slow(blocked: str) -> str:
    return f"""\
topk({_LINES},
  max by (target, client) (
    sum by (job, instance, target, client) (
      pgconn_slow_queries{{blocked="{blocked}", {_OTHERS}}}
    )
  )
)"""


_SLOW = Row(
    "Who is slow, and who only waits?",
    (
        TimeSeries(
            title="Longest query: culprits",
            question="Whose queries run for long although nobody is in their way?",
            meaning="Orange opens a ticket.",
            then="Cancel it, unless it is a report at its time: runbook PostgresSlowCulprits.",
            queries=(Query(expr=_oldest("false"), legend="{{target}} {{client}}"),),
            unit="s",
            width=8,
            steps=(orange("slow_query"),),
            wide_legend=False,
            empty="No query runs",
            links=_CLIENT_LINKS,
        ),
        TimeSeries(
            title="Longest query: victims",
            question="Whose queries look slow, and only wait for a lock?",
            meaning="As long as this follows the culprits, mend those: the victims go on.",
            then="Find who is in their way: dashboard Blocking.",
            queries=(Query(expr=_oldest("true"), legend="{{target}} {{client}}"),),
            unit="s",
            width=8,
            wide_legend=False,
            empty="Nobody is blocked",
            links=(to(Dashboard.BLOCKING, "target"), *_CLIENT_LINKS),
        ),
        TimeSeries(
            title="Slow queries",
            question="How many queries are slow, and how many of them are victims?",
            meaning="Those that have been running for longer than slow_query_after.",
            then=(
                "Many of one client: the same statement again and again, see below. Blocked ones:"
                " dashboard Blocking."
            ),
            queries=(
                Query(expr=_slow("false"), legend="{{target}} {{client}}"),
                Query(expr=_slow("true"), legend="{{target}} {{client}}, blocked", dashed=True),
            ),
            unit="short",
            width=8,
            wide_legend=False,
            empty="No query is slow",
            links=_CLIENT_LINKS,
            decimals=0,
        ),
    ),
)

# --- Statements

_STATEMENT = "target, datname, usename, queryid"
# pg_stat_statements is read each 30 s, unless configured otherwise.
_LEAST: Final = "1m"
_RECENT = f"max by ({_STATEMENT}) (avg_over_time(pgconn_statement_recent_mean_seconds[10m]))"
_RECENT_BEFORE = f"""\
max by ({_STATEMENT}) (
  avg_over_time(pgconn_statement_recent_mean_seconds[1h] offset $compare)
)"""
_CALLS = f"max by ({_STATEMENT}) (rate(pgconn_statement_calls_total[$__rate_interval]))"
_SECONDS = f"max by ({_STATEMENT}) (rate(pgconn_statement_seconds_total[$__rate_interval]))"
_SLOWEST = f"topk(30, {_RECENT})"

_NOTHING: Final = {0: Word("-", CLEAR)}


def _with_text(expr: str) -> str:
    """Give statements their text, as far as it is known; two exporters may cut it differently."""
    return f"""\
(
{expr}
)
* on ({_STATEMENT}) group_left (query)
(
  topk by ({_STATEMENT}) (1, pgconn_statement_info)
  or on ({_STATEMENT})
  0 * max by ({_STATEMENT}) (pgconn_statement_mean_seconds) + 1
)"""


def _of_slowest(expr: str) -> str:
    """Give a number for each of the slowest statements, 0 where there is none."""
    return _with_text(f"({expr}) and on ({_STATEMENT}) {_SLOWEST}\nor 0 * {_SLOWEST}")


def _legible(expr: str) -> str:
    """Give statements the beginning of their text and the end of their queryid, for a legend."""
    return f"""\
label_replace(
  label_replace(
{_with_text(expr)},
    "statement", "$1", "query", "(.{{0,28}}).*"
  ),
  "end", "$1", "queryid", ".*(.{{4}})"
)"""


_LEGEND: Final = "{{target}} {{datname}} {{usename}}: {{statement}} …{{end}}"


_STATEMENTS = Row(
    "Which statement is it?",
    (
        Table(
            title="Slowest statements",
            question="Which statement is slow, and slower than it was?",
            meaning=(
                "The 30 slowest by the mean of their calls in the last ten minutes, beside an hour"
                " as long ago as is chosen above (-: not called then). How many times as long is"
                " told for those that take more than @{statement_mean.words} now: orange, against"
                " the day before, opens a ticket."
            ),
            then=(
                "Slower alone, since a deploy: take it back, or add the index. Slower without one:"
                " ANALYZE its tables, then EXPLAIN it (runbook PostgresStatementSlower)."
            ),
            queries=(
                Query(expr=_with_text(_SLOWEST)),
                Query(expr=_of_slowest(_RECENT_BEFORE)),
                Query(
                    expr=_of_slowest(
                        f"({_RECENT} > @{{statement_mean}})\n"
                        f"/ on ({_STATEMENT})\n({_RECENT_BEFORE} > 0)"
                    )
                ),
                Query(expr=_of_slowest(_CALLS)),
                Query(
                    expr=_of_slowest(
                        f"{_SECONDS}\n/ on (target) group_left ()\n"
                        f"(sum by (target) ({_SECONDS}) > 0)"
                    )
                ),
            ),
            unit="s",
            width=24,
            height=10,
            every=_LEAST,
            columns=(
                Column(name="target", title="Target", width=90),
                Column(name="usename", title="User", width=120),
                Column(name="datname", title="Database", width=90),
                Column(name="query", title="Statement"),
                Column(name="queryid", title="queryid", width=180),
                Column(name="A", title="Recent mean", unit="s", width=125),
                Column(name="B", title="Before", unit="s", width=90, base=CLEAR, words=_NOTHING),
                Column(
                    name="C",
                    title="Times as long",
                    unit="short",
                    width=110,
                    decimals=1,
                    steps=(orange("statement_factor"),),
                    base=CLEAR,
                    words=_NOTHING,
                ),
                Column(name="D", title="Calls", unit="reqps", width=95),
                Column(
                    name="E",
                    title="Of all time",
                    unit="percentunit",
                    width=120,
                    decimals=1,
                    bar=True,
                    top=1,
                ),
            ),
            order="Recent mean",
            empty="No statement was called, or pg_stat_statements is not there",
        ),
        TimeSeries(
            title="Recent mean by statement",
            question="When did a statement become slow?",
            meaning=(
                "Over ten minutes each. The end of a name is that of its queryid. Dashed: as long"
                " ago as is chosen above."
            ),
            then=(
                "At once: what was deployed then, or which plan changed? Bit by bit: its table"
                " grows. All at once: it is not the statement, see what the sessions wait for."
            ),
            queries=(
                Query(
                    expr=_legible(f"topk(5, {_RECENT})"),
                    legend=_LEGEND,
                ),
                Query(
                    expr=_legible(f"""\
max by ({_STATEMENT}) (
  avg_over_time(pgconn_statement_recent_mean_seconds[10m] offset $compare)
)
and on ({_STATEMENT}) topk(5, {_RECENT})"""),
                    legend=f"{_LEGEND}, before",
                    dashed=True,
                ),
            ),
            unit="s",
            width=12,
            height=12,
            wide_legend=False,
            empty="No statement was called",
        ),
        TimeSeries(
            title="Time by statement",
            question="Which statements keep the server busy?",
            meaning=(
                "Time that their calls took, a second: the average number of sessions that ran"
                " each. Those with the largest part, quick ones too if they are called often."
            ),
            then=(
                "Mend the widest first: the same calls taking longer is its plan, more calls are"
                " more requests (table above)."
            ),
            queries=(
                Query(
                    expr=_legible(f"topk(5, {_SECONDS})"),
                    legend=_LEGEND,
                ),
            ),
            unit="short",
            width=12,
            height=12,
            stacked=True,
            wide_legend=False,
            every=_LEAST,
            empty="No statement was called",
            decimals=1,
        ),
    ),
)

# --- More than usual


def _calls(labels: str, offset: str = "") -> str:
    return f"""\
max by ({labels}) (
  sum by (job, instance, {labels}) (
    rate(pgconn_statement_calls_total[$__rate_interval]{offset})
  )
)"""


_USUAL = Row(
    "Is it more than usual?",
    (
        TimeSeries(
            title="Load against its own week",
            question="Does a client keep far more sessions active than usual?",
            meaning=(
                "Active sessions over ten minutes, divided by the week's average, or by"
                " yesterday's highest at this time if that is more. 0: less than"
                " @{load_least.words} are active, or Prometheus remembers no day before. Orange"
                " opens a ticket."
            ),
            then="More requests, or slower ones? Runbook PostgresActiveSessionsHigh.",
            queries=(
                Query(
                    expr=f"""\
(
  {_BY_CLIENT} >= @{{load_least}}
)
/ on (target, client)
clamp_min(
  (
    avg_over_time(({_BY_CLIENT})[6d:1h] offset 1d)
    < on (target, client)
    max_over_time(({_BY_CLIENT})[1h:5m] offset 23h30m)
  ) * 0
  + on (target, client)
  max_over_time(({_BY_CLIENT})[1h:5m] offset 23h30m)
  or on (target, client)
  avg_over_time(({_BY_CLIENT})[6d:1h] offset 1d),
  0.01
)
or on (target, client)
0 * {_BY_CLIENT}""",
                    legend="{{target}} {{client}}",
                ),
            ),
            unit="short",
            width=9,
            steps=(orange("load_factor"),),
            wide_legend=False,
            empty="Nobody is active",
            links=_CLIENT_LINKS,
            decimals=1,
        ),
        TimeSeries(
            title="Calls a second",
            question="Do more requests come in?",
            meaning=(
                "Calls of the exported statements, stacked by user. In grey: all of them, as long"
                " ago as is chosen above."
            ),
            then=(
                "More: stem them where they come from (rate limit, retries, a job). As many as"
                " ever while more sessions are active: the statements are slower."
            ),
            queries=(
                Query(expr=_calls("target, usename"), legend="{{target}} {{usename}}"),
                Query(
                    expr=_calls("target", " offset $compare"),
                    legend="{{target}}, before",
                    dashed=True,
                    colour=GREY,
                ),
            ),
            unit="reqps",
            width=9,
            stacked=True,
            wide_legend=False,
            every=_LEAST,
            empty="No statement was called",
        ),
        Stat(
            title="Statistics began",
            question="Since when does pg_stat_statements count?",
            meaning="`Mean ever` is the mean since then. From PostgreSQL 14 on.",
            then="Long ago: believe the recent mean. Just now: somebody has reset it.",
            queries=(
                Query(
                    expr="1000 * max by (target) (pgconn_statements_reset_timestamp_seconds)",
                    legend="{{target}}",
                ),
            ),
            unit="dateTimeFromNow",
            width=3,
            height=8,
            base=BLUE,
            empty="Unknown",
        ),
        Stat(
            title="Evicted",
            question="Are there more statements than pg_stat_statements has room for?",
            meaning="Evictions a second: what was thrown out counts from zero again. From 14 on.",
            then="More than a few: raise pg_stat_statements.max, or have fewer distinct texts.",
            queries=(
                Query(
                    expr=(
                        "max by (target) (rate(pgconn_statements_evicted_total[$__rate_interval]))"
                    ),
                    legend="{{target}}",
                ),
            ),
            unit="cps",
            width=3,
            height=8,
            base=BLUE,
            empty="Unknown",
            spark=True,
        ),
    ),
)

PAGE: Final = Page(
    uid=Dashboard.LOAD,
    title="Load and statements",
    answers="What the sessions do or wait for, and which statement is slower than it was.",
    rows=(_SESSIONS, _STATEMENTS, _SLOW, _USUAL),
    clients=True,
    compare=Compare(),
)
