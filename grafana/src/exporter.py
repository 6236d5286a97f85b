"""Whether the picture can be trusted, what it costs, and which timeout is wrong."""

from collections.abc import Iterable, Iterator, Mapping
from string import ascii_uppercase
from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import (
    CLEAR,
    GREEN,
    GREY,
    NO,
    ORANGE,
    RED,
    YELLOW,
    Column,
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
    to,
)

_MANY: Final = 20
"""Lines that a person can tell apart."""

_NOTHING: Final = -1
"""Stands for what is not there, so that a row of a table has no hole."""

_NONE: Final[Mapping[float, Word]] = {_NOTHING: Word("-", CLEAR)}

# --- Which read is late, as the alert PgconnDataStale finds it

_READ: Final = "instance, target, collector"
_INTERVAL: Final = f"max by ({_READ}) (pgconn_poll_interval_seconds)"
_AGE: Final = f"min by ({_READ}) (time() - pgconn_poll_last_success_timestamp_seconds)"
_STALE: Final = f"""\
(
  {_AGE}
    > on ({_READ}) ({_INTERVAL} * @{{stale_intervals}})
    > @{{stale_after}}
  or on ({_READ})
  0 * (
    {_INTERVAL}
    unless on ({_READ}) {_AGE}
    unless on ({_READ})
      increase(pgconn_poll_errors_total{{reason=~"missing_extension|missing_preload"}}[$__rate_interval])
  )
)
and on (instance, target) pgconn_up == 1
unless on (instance, target) pgconn_privileges_limited == 1"""
_FRESH: Final = (
    f"{_AGE} <= on ({_READ}) clamp_min({_INTERVAL} * @{{stale_intervals}}, @{{stale_after}})"
)


def _or_nothing(expr: str, every: str, labels: str) -> str:
    """Complete what only some have."""
    return f"({expr}) or on ({labels}) ({every}) * 0 + ({_NOTHING})"


# --- Can the picture be trusted

_UNREACHED: Final = "max by (target) (pgconn_up == bool 0)"

_TRUST: Final = Table(
    title="Can the picture be trusted?",
    question="Of which target is the picture old, or a part missing?",
    meaning="A target that is not reached shows nothing else. Stale reads make what they feed"
    " old; without pg_monitor everything about connections, locks and queries is missing. Folded"
    " label sets are counted as `other`. The TCP table is only looked at with proc: true.",
    then="Not reached: connect with psql from the exporter's host. Otherwise see below which read"
    " fails and why; the exporter's log tells the cure of each.",
    queries=(
        Query(expr=_UNREACHED),
        Query(
            expr=_or_nothing(
                f"max by (target) (count by (instance, target) (\n{_STALE}\n))"
                " or on (target) (max by (target) (pgconn_up) == 1) * 0",
                _UNREACHED,
                "target",
            )
        ),
        *(
            Query(expr=_or_nothing(f"max by (target) ({metric})", _UNREACHED, "target"))
            for metric in ("pgconn_privileges_limited", "1 - pgconn_tcp_table_usable")
        ),
        Query(
            expr="max by (target) (sum by (job, instance, target) (pgconn_series_folded))"
            f" or on (target) {_UNREACHED} * 0"
        ),
    ),
    columns=(
        Column(name="target", title="Target", links=(to(Dashboard.INCIDENT, "target", row=True),)),
        Column(name="A", title="Reached", words={1: Word("No", RED), 0: Word("Yes", GREEN)}),
        Column(
            name="B",
            title="Stale reads",
            unit="short",
            steps=(orange(1),),
            words={0: Word("None", GREEN), **_NONE},
        ),
        Column(
            name="C",
            title="Privileges",
            words={1: Word("Limited", ORANGE), 0: Word("Complete", GREEN), **_NONE},
        ),
        Column(
            name="D",
            title="TCP table",
            words={1: Word("Not usable", YELLOW), 0: Word("Usable", GREEN), **_NONE},
        ),
        Column(
            name="E",
            title="Folded",
            unit="short",
            steps=(Step(YELLOW, 1),),
            words={0: Word("None", GREEN)},
        ),
    ),
    order="Reached",
    unit="short",
    width=16,
    empty="No exporter tells of any target: is the job scraped?",
)

# One scrape for all targets has the instance host:port, that of one target host:port/target.
_EXPORTER: Final = 'label_replace(%s, "exporter", "$1", "instance", "([^/]*).*")'
# The data source knows of other jobs, too.
_OURS: Final = "and on (job) last_over_time(pgconn_up[1d])"
_PAGES: Final = f"{_EXPORTER % 'up'} {_OURS}"
_TARGET_PAGES: Final = f"""{_EXPORTER % 'up{instance=~".+/.*"}'} {_OURS}"""

_ANSWERS: Final = Stat(
    title="Exporter answers",
    question="Does each exporter answer Prometheus?",
    meaning="In part: some of its pages cannot be scraped, and what they would say is missing.",
    then="No: run `curl http://HOST:PORT/-/healthy` and look at its log. In part: Status >"
    " Targets in Prometheus tells the error of each scrape.",
    queries=(
        Query(
            expr=f"""\
(
  max by (exporter) ({_TARGET_PAGES})
  or on (exporter) max by (exporter) ({_PAGES})
)
+ on (exporter) min by (exporter) ({_PAGES})""",
            legend="{{exporter}}",
        ),
    ),
    unit="short",
    width=4,
    height=8,
    base=RED,
    words={0: Word("No", RED), 1: Word("In part", ORANGE), 2: Word("Yes", GREEN)},
    empty="None is scraped",
)

_CONFIGURED: Final = Stat(
    title="Configuration loaded",
    question="Does each exporter run with the configuration that its file has?",
    meaning="No: the file was changed and could not be loaded; what was in force still is.",
    then="Run `pgconn-exporter check-config` with the file: it tells every error with its line.",
    queries=(
        Query(
            expr="min by (instance) (pgconn_config_last_reload_successful)",
            legend="{{instance}}",
        ),
    ),
    unit="short",
    width=4,
    height=8,
    base=ORANGE,
    words={NO: Word("No", ORANGE), 1: Word("Yes", GREEN)},
    empty="Unknown",
)

# --- Which read is late, and why


def _polls(part: str) -> str:
    return f"max by ({_READ}) (rate(pgconn_poll_duration_seconds_{part}[$__rate_interval]))"


_FAILED: Final = f"sum by ({_READ}) (rate(pgconn_poll_errors_total[$__rate_interval]))"

_READS: Final = Table(
    title="Reads",
    question="Which read is late, how long does it take, and how often does it fail?",
    meaning="A read that is not done needs what is not there: the target itself, pg_monitor, or an"
    " extension. The interval in force is longer than the configured one where polls would cost"
    " more than max_overhead. Time taken is the share of all time that polls are at work.",
    then="Late: see below at the right why it fails, then the runbook of PgconnDataStale. Long"
    " intervals: give the read a longer interval, or the exporter a higher max_overhead.",
    queries=(
        Query(
            expr=f"((\n{_STALE}\n) >= bool 0)\n"
            f"or on ({_READ}) ({_FRESH}) * 0\n"
            f"or on ({_READ}) {_INTERVAL} * 0 + ({_NOTHING})"
        ),
        Query(expr=_or_nothing(f"{_AGE} and on ({_READ}) {_INTERVAL}", _INTERVAL, _READ)),
        Query(expr=_INTERVAL),
        Query(
            expr=_or_nothing(
                f"{_polls('sum')} / on ({_READ}) ({_polls('count')} > 0)", _INTERVAL, _READ
            )
        ),
        Query(expr=_or_nothing(_polls("sum"), _INTERVAL, _READ)),
        Query(
            expr=f"{_FAILED} / on ({_READ}) ({_polls('count')} > 0) or on ({_READ}) {_INTERVAL} * 0"
        ),
    ),
    columns=(
        Column(name="instance", title="Exporter"),
        Column(name="target", title="Target"),
        Column(name="collector", title="Read"),
        Column(
            name="A",
            title="State",
            width=100,
            words={
                1: Word("Late", ORANGE),
                0: Word("Fresh", GREEN),
                _NOTHING: Word("Not done", GREY),
            },
        ),
        Column(
            name="B",
            title="Last success before",
            unit="s",
            base=CLEAR,
            words={_NOTHING: Word("never", CLEAR)},
        ),
        Column(name="C", title="Interval in force", unit="s"),
        Column(name="D", title="Mean time", unit="s", base=CLEAR, words=_NONE),
        Column(
            name="E", title="Time taken", unit="percentunit", decimals=2, base=CLEAR, words=_NONE
        ),
        Column(name="F", title="Polls that fail", unit="percentunit", decimals=0),
    ),
    order="State",
    unit="short",
    width=24,
    height=9,
    empty="No exporter tells of any read",
)

_UP: Final = Timeline(
    title="Targets reached",
    question="When was which target out of reach?",
    meaning="As the exporter saw it. A gap is the exporter's own, or Prometheus's.",
    then="Compare with the errors at the right: refused is nobody listening, timeout a network or"
    " a host that hangs.",
    queries=(Query(expr="min by (target) (pgconn_up)", legend="{{target}}"),),
    unit="short",
    width=12,
    words={NO: Word("Not reached", RED), 1: Word("Reached", GREEN)},
)

_ERRORS: Final = TimeSeries(
    title="Polls that fail, by reason",
    question="Why does a read fail?",
    then="Look for `poll failed` in the exporter's log: it tells the error, and the cure where"
    " that is known.",
    queries=(
        Query(
            expr=f"topk({_MANY}, max by (target, collector, reason)"
            " (rate(pgconn_poll_errors_total[$__rate_interval])))",
            legend="{{target}} {{collector}}: {{reason}}",
        ),
    ),
    unit="cps",
    width=12,
    empty="No poll has failed",
)

# --- What it costs

_COST: Final = TimeSeries(
    title="Time that polls take on a target",
    question="What do the reads cost the server at most?",
    meaning="The share of the time that reads are at work, their wait for their turn included. The"
    " exporter keeps their cost below max_overhead by longer intervals.",
    then="If it grows, see under Reads which one: it has more sessions, locks or statements to"
    " look at. Give it a longer interval.",
    queries=(
        Query(
            expr=f"topk({_MANY}, max by (target) (sum by (job, instance, target)"
            " (rate(pgconn_poll_duration_seconds_sum[$__rate_interval]))))",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    wide_legend=False,
)

_CPU_USED: Final = "max by (instance) (rate(process_cpu_seconds_total[$__rate_interval]))"
_MEMORY_USED: Final = "max by (instance) (process_resident_memory_bytes)"

_CPU: Final = TimeSeries(
    title="Processor time of the exporter",
    question="What does the exporter itself cost its host?",
    meaning="100 % is a core.",
    then="Give reads longer intervals, leave out connection_labels that thousands of clients make"
    " long, or share the targets among several exporters.",
    queries=(Query(expr=_CPU_USED, legend="{{instance}}"),),
    unit="percentunit",
    width=8,
    wide_legend=False,
)

_MEMORY: Final = TimeSeries(
    title="Memory of the exporter",
    question="Does the exporter grow without end?",
    then="It grows with targets and series, not with time: if it does, restart it and report"
    " that. Lower max_series where it is too much.",
    queries=(Query(expr=_MEMORY_USED, legend="{{instance}}"),),
    unit="bytes",
    width=8,
    wide_legend=False,
)

_BUILD: Final = "max by (instance, version) (pgconn_build_info)"
_SCRAPED: Final = f"""\
label_replace(
  max by (exporter) ({_EXPORTER % "scrape_duration_seconds"} {_OURS}),
  "instance", "$1", "exporter", "(.+)"
)"""


def _of_exporters(expr: str) -> str:
    """Give each exporter's number beside its version; what no system but Linux tells is -1."""
    found = f"({expr})\n* on (instance) group_right () {_BUILD}"
    return f"{found}\nor on (instance) {_BUILD} * 0 + ({_NOTHING})"


_PROCESSES: Final = Table(
    title="Exporter processes",
    question="Which version runs where, since when, and how close is it to its limits?",
    meaning="A scrape should take milliseconds: it reads memory, never a server.",
    then="Slow scrapes: the host is busy, or there are too many series. Open files near their"
    " limit: raise LimitNOFILE of its service.",
    queries=tuple(
        Query(expr=_of_exporters(expr))
        for expr in (
            "max by (instance) (time() - process_start_time_seconds)",
            "max by (instance) (time() - pgconn_config_last_reload_success_timestamp_seconds)",
            f"max by (instance) ({_SCRAPED})",
            _CPU_USED,
            _MEMORY_USED,
            (
                "max by (instance) (process_open_fds)"
                " / on (instance) (max by (instance) (process_max_fds) > 0)"
            ),
        )
    ),
    columns=(
        Column(name="instance", title="Exporter"),
        Column(name="version", title="Version"),
        *(
            Column(name=letter, title=title, unit=unit, base=CLEAR, words=_NONE, decimals=decimals)
            for letter, title, unit, decimals in (
                ("A", "Runs for", "s", 0),
                ("B", "Configured for", "s", 0),
                ("C", "Scrape", "s", 1),
                ("D", "Processor", "percentunit", 1),
                ("E", "Memory", "bytes", 0),
                ("F", "Open files, of the limit", "percentunit", 1),
            )
        ),
    ),
    order="Runs for",
    unit="short",
    width=24,
    height=5,
    empty="No exporter is scraped",
)

# --- Which timeout is wrong

_CHECKED: Final = "max by (target, client) (pgconn_timeout_mismatch)"
_BROKEN: Final = Word("Does not fit", YELLOW)
_FITS: Final = Word("Fits", GREEN)

_RULES: Final = (
    ("dead_clients_linger", "Dead clients stay", Word("Too long", ORANGE)),
    ("statement_timeout_above_request_timeout", "Statement after request", _BROKEN),
    ("no_idle_in_transaction_timeout", "Transaction left open", _BROKEN),
    ("idle_timeout_below_pool_idle", "Idle in the pool", _BROKEN),
)

_MISMATCHES: Final = Table(
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
                expr=_or_nothing(
                    f'max by (target, client) (pgconn_timeout_mismatch{{rule="{rule}"}})',
                    _CHECKED,
                    "target, client",
                )
            )
            for rule, _, _ in _RULES
        ),
        *(
            Query(
                expr=_or_nothing(
                    "max by (target, client)"
                    f' (pgconn_client_timeout_seconds{{setting="{setting}"}})'
                    f" and on (target, client) {_CHECKED}",
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
            Column(name=letter, title=title, words={1: broken, 0: _FITS, **_NONE})
            for letter, (_, title, broken) in zip(ascii_uppercase, _RULES, strict=False)
        ),
        Column(name="E", title="Request timeout", unit="s", width=140, base=CLEAR, words=_NONE),
        Column(name="F", title="Idle timeout", unit="s", width=120, base=CLEAR, words=_NONE),
    ),
    order="Dead clients stay",
    unit="short",
    width=24,
    height=8,
    empty="No clients are configured whose timeouts could be checked",
)

_OFF: Final[Mapping[float, Word]] = {0: Word("off", CLEAR), **_NONE}
_OWN: Final = 'datname="", usename=""'
_DETECTED: Final = "max by (target) (pgconn_dead_client_detection_seconds%s)"
_TARGETS: Final = f"max by (target) (pgconn_timeout_seconds{{{_OWN}}})"
_UNTIL_THE_END: Final = -2


def _of_servers(exprs: Iterable[str]) -> Iterator[Query]:
    for expr in exprs:
        yield Query(expr=_or_nothing(expr, _TARGETS, "target"))


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
                words={_UNTIL_THE_END: Word("when it ends", YELLOW), **_NONE},
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
    complete = _or_nothing(found, _SCOPES, _SCOPE)
    for label in ("datname", "usename"):
        complete = f'label_replace(\n{complete},\n"{label}", "any", "{label}", "")'
    return complete


_TIMEOUTS: Final = Table(
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

PAGE: Final = Page(
    uid=Dashboard.EXPORTER,
    title="Exporter and timeouts",
    answers="Whether the picture can be trusted, what it costs, and which timeout is wrong.",
    rows=(
        Row("Can the picture be trusted?", (_TRUST, _ANSWERS, _CONFIGURED)),
        Row("Which read is late, and why?", (_READS, _UP, _ERRORS)),
        Row("Which timeout is wrong?", (_MISMATCHES, _TIMEOUTS, _DEAD)),
        Row("What does it cost?", (_COST, _CPU, _MEMORY, _PROCESSES)),
    ),
)
