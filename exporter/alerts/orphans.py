"""Are they orphaned: connections that hold a slot, a lock or a processor for nobody."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

_ORPHANS = 'pgconn_orphaned_connections{client!="pgconn-exporter"}'
_OUTLIVED = (
    "sum by (job, instance, target, client) (pgconn_orphaned_connections"
    '{reason=~"query_outlived_client|client_gone", client!="pgconn-exporter"})'
)
_SUM_OF_ORPHANS = f"sum by (job, instance, target) ({_ORPHANS})"
_ORPHANS_BY_CLIENT = f"sum by (job, instance, target, client) ({_ORPHANS})"
_ABANDONED = """\
sum by (job, instance, target, datname) (
    rate(pgconn_database_sessions_ended_total{reason="abandoned"}[5m])
  )"""
_THEIR_CLIENTS = """\
count by (job, instance, target, datname, client) (
      count_over_time(pgconn_connections{client!="pgconn-exporter"}[5m])
    ) > bool 0"""
_CLOSED = """\
sum by (job, instance, target, client) (
      rate(pgconn_connections_closed_total{client!="pgconn-exporter"}[5m])
    )"""

_LIST_OVERDUE = (
    "In psql: SELECT pid, client_addr, usename, application_name, now() - query_start AS running"
    " FROM pg_stat_activity WHERE state = 'active' ORDER BY query_start; then end, as the"
    " runbook says, those of {{ $labels.client }} that run for longer than it waits for an answer."
)

ORPHANS = Group(
    "pgconn-orphans",
    (
        Rule(
            alert="PostgresOrphansExhaustSlots",
            severity=Severity.CRITICAL,
            # A client that is enough by itself is named; several that only are together are not.
            expr=f"""\
(
  {_ORPHANS_BY_CLIENT}
    / on (job, instance, target) group_left () (pgconn_slots_usable > 0) > @{{orphans_share}}
  or on (job, instance, target)
  {_SUM_OF_ORPHANS}
    / on (job, instance, target) (pgconn_slots_usable > 0) > @{{orphans_share}}
)
and on (job, instance, target)
pgconn_slots_used / on (job, instance, target) (pgconn_slots_usable > 0)
  > @{{orphans_share_from}}""",
            hold="2m",
            keep="5m",
            summary=(
                "{{ $labels.target }} runs out of slots: orphaned connections"
                "{{ with $labels.client }} of {{ . }}{{ end }} hold"
                " {{ $value | humanizePercentage }} of them"
            ),
            description=(
                "More than @{orphans_share_from.words} of the usable slots are in use, and more"
                " than @{orphans_share.words} are held by connections that nobody needs any more."
                " To end them lets clients in again."
            ),
            first_action=(
                "Open the dashboard for the reason of the orphans, then end them: restart"
                " {{ with $labels.client }}{{ . }}{{ else }}the client that holds most of them"
                "{{ end }}, or end its idle sessions as the runbook"
                " says."
            ),
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresQueriesOutliveClient",
            severity=Severity.CRITICAL,
            expr=f"""\
{_OUTLIVED}
  / on (job, instance, target, client)
  max by (job, instance, target, client) (pgconn_client_pool_size > 0) >= @{{outlived_share}}""",
            hold="2m",
            keep="3m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: queries that nobody waits for any"
                " more are {{ $value | humanizePercentage }} of its pool"
            ),
            description=(
                "{{ $labels.client }} has given up on these queries or is gone, but the server"
                " goes on with them: its timeouts are longer than the client's own. They take"
                " slots, locks and processors from those that somebody waits for, and they grow"
                " in number until the server ends them."
            ),
            first_action=_LIST_OVERDUE,
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresQueriesOutliveClient",
            severity=Severity.WARNING,
            expr=f"{_OUTLIVED} > 0",
            hold="2m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: queries that nobody waits for any"
                " more: {{ $value | humanize }}"
            ),
            description=(
                "{{ $labels.client }} has given up on these queries or is gone, but the server"
                " goes on with them: its timeouts are longer than the client's own. As long as"
                " they are few this costs little; at the next slow query it is an outage."
            ),
            first_action=_LIST_OVERDUE,
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresOrphanedConnections",
            severity=Severity.WARNING,
            # The other reasons are PostgresQueriesOutliveClient's.
            expr="""\
sum by (job, instance, target, client, reason) (
  pgconn_orphaned_connections{reason=~"idle_.+", client!="pgconn-exporter"}
) >= @{orphans_many}""",
            hold="10m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: {{ $value | humanize }} connections"
                " are orphaned ({{ $labels.reason }})"
            ),
            description=(
                "{{ $labels.client }} opened these connections and does not use them any more"
                '{{ if eq $labels.reason "idle_in_transaction_too_long" }}, and left a transaction'
                " open in each, with all of its locks{{ end }}. Where their number grows, something"
                " opens connections and never closes them, and the slots will run out. Where it"
                " stays, a pool is too large, or the exporter's configuration has another"
                " idle_timeout than the pool."
            ),
            first_action=(
                "Open the dashboard: does the number of connections of {{ $labels.client }} grow?"
                " If so, restart it and look for what opens connections without closing them."
            ),
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresIdleInTransaction",
            severity=Severity.WARNING,
            expr="""\
max by (job, instance, target, client, usename, application_name, datname) (
  pgconn_connection_state_age_max_seconds{state=~"idle in .+", client!="pgconn-exporter"}
) > @{idle_in_transaction}""",
            hold="1m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: a transaction has been left idle"
                " for {{ $value | humanizeDuration }}"
            ),
            description=(
                "A session of role {{ $labels.usename }} in database {{ $labels.datname }}"
                " (application_name {{ $labels.application_name }}) is idle inside a transaction."
                " Until it ends it keeps its locks, its slot, and all dead rows that VACUUM could"
                " remove."
            ),
            first_action=(
                "In psql: SELECT pid, client_addr, now() - state_change AS idle, query FROM"
                " pg_stat_activity WHERE state LIKE 'idle in transaction%' ORDER BY state_change;"
                " the last query tells which code left it open."
            ),
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresSessionsAbandoned",
            severity=Severity.WARNING,
            # The server counts by database only: named is who lost at least half as many
            # connections meanwhile.
            expr=f"""\
(
  {_ABANDONED} * on (job, instance, target, datname) group_right () (
    {_THEIR_CLIENTS}
  ) <= on (job, instance, target, client) group_left () (
    2 * {_CLOSED}
  )
  or on (job, instance, target, datname)
  {_ABANDONED}
) > @{{abandoned}}""",
            hold="10m",
            keep="5m",
            summary=(
                "{{ with $labels.client }}{{ . }}{{ else }}Some client{{ end }} on"
                ' {{ $labels.target }} vanishes: {{ printf "%.1f" $value }} sessions of'
                " {{ $labels.datname }} are abandoned per second"
            ),
            description=(
                "Sessions ended because their client vanished without a goodbye, at more than"
                " @{abandoned.words} per second: its processes were killed (by the kernel for their"
                " memory, or by a supervisor's timeout), or the network cut them off. Their"
                " requests failed without a traceback."
            ),
            first_action=(
                "On the hosts of {{ with $labels.client }}{{ . }}{{ else }}the clients of"
                " {{ $labels.datname }}{{ end }}: journalctl -k | grep -i 'killed process', and the"
                " supervisor's log for worker timeouts."
            ),
            dashboard=Dashboard.CONNECTIONS,
        ),
    ),
)
