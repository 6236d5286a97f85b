"""Which query is slow: culprits, statements against yesterday, load against its own week."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

_ACTIVE = 'pgconn_session_seconds_total{state="active", client!="pgconn-exporter"}[10m]'
_LOAD = f"""\
max by (job, target, client) (
  sum by (job, instance, target, client) (rate({_ACTIVE}))
)"""
_STATEMENT = "job, target, datname, usename, queryid"
_RECENT = "avg_over_time(pgconn_statement_recent_mean_seconds"

QUERIES = Group(
    "pgconn-queries",
    (
        Rule(
            alert="PostgresSlowCulprits",
            severity=Severity.WARNING,
            expr="""\
max by (job, instance, target, client) (
  pgconn_query_age_max_seconds{blocked="false", client!="pgconn-exporter"}
) > @{slow_query}""",
            hold="2m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: a query that nobody blocks has been"
                " running for {{ $value | humanizeDuration }}"
            ),
            description=(
                "For minutes there has been a query of {{ $labels.client }} that runs for more than"
                " @{slow_query.words} and waits for no other session: it is slow by itself, and"
                " those that wait for its locks are slow because of it."
            ),
            first_action=(
                "In psql: SELECT pid, usename, client_addr, now() - query_start AS running,"
                " wait_event_type, query FROM pg_stat_activity WHERE state = 'active' AND"
                " cardinality(pg_blocking_pids(pid)) = 0 ORDER BY query_start LIMIT 5;"
            ),
            dashboard=Dashboard.LOAD,
        ),
        Rule(
            alert="PostgresStatementSlower",
            severity=Severity.WARNING,
            # Yesterday the exporter may have had another address.
            expr=f"""\
(
  avg by (job, instance, target, datname, usename, queryid) (
    {_RECENT}[10m])
  ) > @{{statement_mean}}
)
> on ({_STATEMENT}) group_left ()
@{{statement_factor}} * avg by ({_STATEMENT}) (
  {_RECENT}[1h] offset 1d)
)""",
            hold="10m",
            keep="10m",
            summary=(
                "{{ $labels.datname }} on {{ $labels.target }}: a statement of"
                " {{ $labels.usename }} takes {{ $value | humanizeDuration }} on average, more than"
                " @{statement_factor.words} times as long as yesterday"
            ),
            description=(
                "Statement {{ $labels.queryid }} has become slower: its plan changed, or its tables"
                " grew, or it waits for something that it did not wait for yesterday."
                '{{ with printf "pgconn_statement_info{job=%q, target=%q, datname=%q, usename=%q,'
                ' queryid=%q}" $labels.job $labels.target $labels.datname $labels.usename'
                ' $labels.queryid | query }} Its text: {{ . | first | label "query" }}{{ end }}'
            ),
            first_action=(
                "Open the dashboard, find the statement by its queryid {{ $labels.queryid }}, and"
                " EXPLAIN it; where the plan changed, ANALYZE its tables."
            ),
            dashboard=Dashboard.LOAD,
        ),
        Rule(
            alert="PostgresActiveSessionsHigh",
            severity=Severity.WARNING,
            # Today is left out of the week, so that a flood does not become its own yardstick and
            # a Prometheus that is younger than a day is silent. Against the same time of
            # yesterday, or a nightly job that rests all day would be high every night.
            expr=f"""\
(
  sum by (job, instance, target, client) (rate({_ACTIVE})) >= @{{load_least}}
)
> on (job, target, client) group_left ()
@{{load_factor}} * avg_over_time(({_LOAD})[6d:1h] offset 1d)
unless on (job, target, client)
{_LOAD} <= @{{load_factor}} * max_over_time(({_LOAD})[1h:5m] offset 23h30m)""",
            hold="10m",
            keep="10m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: {{ $value | humanize }} active"
                " sessions on average, more than @{load_factor.words} times as many as usual"
            ),
            description=(
                "{{ $labels.client }} keeps more than @{load_factor.words} times as many sessions"
                " active as in the week before, and as yesterday at this time. Either more requests"
                " reach it, or its statements have become slower."
            ),
            first_action=(
                "Open the dashboard: do the active sessions of {{ $labels.client }} wait (for a"
                " lock, for I/O) or run? Does it get more requests than yesterday?"
            ),
            dashboard=Dashboard.LOAD,
        ),
    ),
)
