"""Can clients still connect: slots that run out, and refusals."""

from typing import Final

from exporter.alerts.model import BEHIND_PGBOUNCER, Dashboard, Group, Rule, Severity
from exporter.alerts.servers import with_server

SLOTS_RATIO: Final = "pgconn_slots_used / on (job, instance, target) (pgconn_slots_usable > 0)"
"""Share of the usable slots that are taken."""

_OF_TARGET: Final = "$labels.job $labels.instance $labels.target"

TOP_HOLDERS: Final = (
    "{{ with query (printf"
    ' "topk(3, pgconn_client_connections{job=%q, instance=%q, target=%q,'
    " client!='pgconn-exporter'} > 0)\""
    f" {_OF_TARGET}) }}}}"
    " Connections by client:{{ range $place, $holder := . }}"
    '{{ if $place }},{{ end }} {{ $holder.Labels.client }} {{ $holder.Value | printf "%.0f" }}'
    "{{ end }}.{{ end }}"
)
"""Template of a sentence about who holds the most: ` Connections by client: api 60, jobs 20.`"""

USABLE: Final = (
    "{{ with query (printf"
    ' "pgconn_slots_usable{job=%q, instance=%q, target=%q}"'
    f" {_OF_TARGET}) }}}}"
    ' {{ . | first | value | printf "%.0f" }}{{ end }}'
)
"""Template of how many slots an ordinary role may take: ` 97`."""

_USED: Final = (
    "{{ with query (printf"
    ' "pgconn_slots_used{job=%q, instance=%q, target=%q}"'
    f" {_OF_TARGET}) }}}}"
    ' ({{ . | first | value | printf "%.0f" }} of' + USABLE + "){{ end }}"
)

_HELD_AT_PEAK: Final = (
    "{{ with query (printf"
    ' "max_over_time(pgconn_connections_peak{job=%q, instance=%q, target=%q, client=%q}[10m])"'
    f" {_OF_TARGET} $labels.client) }}}}"
    ' ({{ . | first | value | printf "%.0f" }}){{ end }}'
)

_REFUSED: Final = (
    "(max by (job, instance, target)"
    ' (increase(pgconn_probe_failures_total{sqlstate="53300"}[2m])) > 0)'
)

# A page at once, so its label may follow the largest holder; the peak of a while keeps it still.
_REFUSED_WITH_HOLDER: Final = f"""\
{_REFUSED}
* on (job, instance, target) group_left (client) (
  topk by (job, instance, target) (1,
    max by (job, instance, target, client) (
      max_over_time(pgconn_connections_peak{{client!="pgconn-exporter"}}[10m])
    ) > 0
  ) > bool 0
)
or on (job, instance, target) {_REFUSED}"""

_PROBE_FAILING: Final = f"""\
pgconn_probe_success == 0
and on (job, instance, target) pgconn_up == 1
unless on (job, instance, target) {_REFUSED}"""

_PROBE_SQLSTATE: Final = (
    "{{ with query (printf"
    ' "topk(1, increase(pgconn_probe_failures_total{job=%q, instance=%q, target=%q}[2m]) > 0)"'
    f" {_OF_TARGET}) }}}}"
    '{{ with . | first | label "sqlstate" }} (SQLSTATE {{ . }}){{ end }}{{ end }}'
)


def _foreseen(window: str, half: str, within: str) -> str:
    """Give the seconds until the slots are full, where both halves of a window rise steadily."""
    slope = _by_target(f"deriv(pgconn_slots_used[{window}])")
    late, early = (
        _by_target(f"deriv(pgconn_slots_used[{half}]{when})") for when in ("", f" offset {half}")
    )
    return f"""\
  clamp_min(pgconn_slots_usable - on (job, instance, target) pgconn_slots_used, 0)
    / on (job, instance, target) ({slope} > 0)
  and on (job, instance, target)
  {_by_target(f"predict_linear(pgconn_slots_used[{window}], {within})")}
    >= on (job, instance, target) pgconn_slots_usable
  and on (job, instance, target) {late} > on (job, instance, target) {slope} / 4
  and on (job, instance, target) {early} > on (job, instance, target) {slope} / 4"""


def _by_target(expr: str) -> str:
    """Make one series a target of those that a restart of the exporter may have left behind."""
    return f"max by (job, instance, target) ({expr})"


# Half an hour tells slow growth from noise, but sees a loop that fills the slots within ten
# minutes only when they are full: hence the short look, too. That both halves rise tells growth
# from a step, as of a deployment, which a line through it would draw on for ever.
FORECAST: Final = f"""\
(
{_foreseen("5m", "150s", "@{forecast_soon}")}
  or on (job, instance, target)
{_foreseen("30m", "15m", "@{forecast_within}")}
)
and on (job, instance, target) ({SLOTS_RATIO} > @{{forecast_from}})"""
"""Seconds until the slots are full, of those that fill up."""

_GROWS_MOST: Final = (
    "{{ with query (printf"
    ' "topk(1, deriv(pgconn_client_connections{job=%q, instance=%q, target=%q,'
    " client!='pgconn-exporter'}[5m]) > 0)\""
    f" {_OF_TARGET}) }}}}"
    '; {{ . | first | label "client" }} grows most{{ end }}'
)

_PEAK: Final = f"""\
{_by_target("max_over_time(pgconn_slots_used_peak[3m])")}
  / on (job, instance, target) (pgconn_slots_usable > 0)
  > @{{peak_high}}
and on (job, instance, target)
({_by_target("avg_over_time(pgconn_slots_used[5m])")}
  / on (job, instance, target) (pgconn_slots_usable > 0)
  < @{{peak_average}})"""

SLOTS = Group(
    "pgconn-slots",
    (
        Rule(
            alert="PostgresConnectionsRefused",
            severity=Severity.CRITICAL,
            expr=with_server(_REFUSED_WITH_HOLDER),
            keep="5m",
            summary="{{ $labels.target }} refuses new connections"
            "{{ if $labels.client }}; {{ $labels.client }} holds most"
            + _HELD_AT_PEAK
            + "{{ end }}",
            description="New connections fail with SQLSTATE 53300: clients that must connect get"
            " errors now. The slots are taken, or the CONNECTION LIMIT of a role or database is"
            " reached." + TOP_HOLDERS,
            first_action="Find the largest holder on the dashboard; restart that client, or end"
            " its idle connections as the runbook says.",
            dashboard=Dashboard.INCIDENT,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PostgresProbeFailing",
            severity=Severity.CRITICAL,
            expr=with_server(_PROBE_FAILING),
            hold="2m",
            summary="{{ $labels.target }} does not accept new connections, and not for want of"
            " slots" + _PROBE_SQLSTATE,
            description="The exporter's own connection works, but each new one fails for another"
            " reason than 53300: authentication, pg_hba.conf, a database that takes no"
            " connections, a server that shuts down, the network or PgBouncer. Clients that must"
            " connect get the same.",
            first_action="Look for `new connections fail` with target={{ $labels.target }} in the"
            " exporter's log, and connect with psql as a client does.",
            dashboard=Dashboard.INCIDENT,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PostgresSlotsCritical",
            severity=Severity.CRITICAL,
            expr=f"{SLOTS_RATIO} > @{{slots_critical}}",
            hold="2m",
            keep="2m",
            summary="{{ $labels.target }}: {{ $value | humanizePercentage }} of the slots that"
            " clients may take are used" + _USED,
            description="Above @{slots_critical.words} the next burst is refused." + TOP_HOLDERS,
            first_action="Find the largest holder on the dashboard, and see whether what it holds"
            " is idle.",
            dashboard=Dashboard.INCIDENT,
        ),
        Rule(
            alert="PostgresSlotsHigh",
            severity=Severity.WARNING,
            expr=f"{SLOTS_RATIO} > @{{slots_high}}",
            hold="10m",
            keep="5m",
            summary="{{ $labels.target }}: {{ $value | humanizePercentage }} of the slots that"
            " clients may take are used" + _USED,
            description="Above @{slots_high.words} for a while there is little room for a burst"
            " or for one more deployment." + TOP_HOLDERS,
            first_action="Find the largest holder on the dashboard, and compare it with its pool"
            " size.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresSlotsExhaustionForecast",
            severity=Severity.WARNING,
            expr=FORECAST,
            hold="2m",
            keep="5m",
            summary="{{ $labels.target }}: at this rate the slots are full in"
            " {{ $value | humanizeDuration }}" + _GROWS_MOST,
            description="Connections grow steadily, as when a client opens them and does not close"
            " them." + TOP_HOLDERS,
            first_action="See on the dashboard which client grows, and whether what it holds is"
            " idle: stop it before the slots run out.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresSlotsPeak",
            severity=Severity.WARNING,
            expr=_PEAK,
            hold="5m",
            keep="5m",
            summary="{{ $labels.target }}: bursts take {{ $value | humanizePercentage }} of the"
            " slots",
            description="On average less than @{peak_average.words} of the slots are used, but"
            " bursts between two scrapes take nearly all: a larger one is refused." + TOP_HOLDERS,
            first_action="Compare the peaks of the clients on the dashboard, and have the one that"
            " opens a connection for each request keep it (CONN_MAX_AGE, a pool, PgBouncer).",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresRoleLimitNear",
            severity=Severity.WARNING,
            expr="""\
pgconn_role_connections
  / on (job, instance, target, usename) (pgconn_role_connection_limit > 0)
  > @{limit_near}""",
            hold="5m",
            keep="5m",
            summary="{{ $labels.target }}: role {{ $labels.usename }} uses"
            " {{ $value | humanizePercentage }} of its CONNECTION LIMIT",
            description="When the limit is reached, the server refuses this role with `too many"
            " connections for role`, however many slots are free.",
            first_action="See on the dashboard which client connects as {{ $labels.usename }}, and"
            " whether what it holds is idle.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresDatabaseLimitNear",
            severity=Severity.WARNING,
            expr="""\
pgconn_database_connections
  / on (job, instance, target, datname) (pgconn_database_connection_limit > 0)
  > @{limit_near}""",
            hold="5m",
            keep="5m",
            summary="{{ $labels.target }}: database {{ $labels.datname }} uses"
            " {{ $value | humanizePercentage }} of its CONNECTION LIMIT",
            description="When the limit is reached, the server refuses everybody with `too many"
            " connections for database`, however many slots are free.",
            first_action="See on the dashboard which clients are connected to"
            " {{ $labels.datname }}, and whether what they hold is idle.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresWalSendersHigh",
            severity=Severity.WARNING,
            expr="""\
pgconn_wal_senders_used / on (job, instance, target) (pgconn_wal_senders_max > 0)
  > @{wal_senders_high}""",
            hold="10m",
            keep="5m",
            summary="{{ $labels.target }}: {{ $value | humanizePercentage }} of max_wal_senders"
            " run",
            description="When all run, standbys, logical consumers and base backups are refused,"
            " also one that only wants to come back.",
            first_action="Run `SELECT application_name, client_addr, state, backend_start FROM"
            " pg_stat_replication ORDER BY backend_start;` on {{ $labels.target }}.",
            dashboard=Dashboard.CONNECTIONS,
        ),
    ),
)
