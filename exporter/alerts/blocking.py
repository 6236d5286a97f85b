"""Who blocks whom: one session that holds a lock, and those that only look slow behind it."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

_ROOT_BLOCKERS = (
    '{{ with printf "topk(3, sum by (client, state)'
    ' (pgconn_root_blocker_victims{job=%q, target=%q}))" $labels.job $labels.target | query }}'
    ' In their way:{{ range $n, $each := . }}{{ if $n }},{{ end }} {{ $each | label "client" }}'
    ' ({{ $each | label "state" }}, {{ $each | value | humanize }} behind it){{ end }}.{{ end }}'
)
_FIND_ROOT_BLOCKER = (
    "In psql: SELECT pid, pg_blocking_pids(pid) AS blocked_by, usename, state, now() - xact_start"
    " AS open FROM pg_stat_activity WHERE wait_event_type = 'Lock' OR state LIKE 'idle in"
    " transaction%' ORDER BY xact_start; whoever blocks and is blocked by nobody is the root."
)

BLOCKING = Group(
    "pgconn-blocking",
    (
        Rule(
            alert="PostgresRootBlockerIdle",
            severity=Severity.CRITICAL,
            expr="""\
sum by (job, instance, target, client, usename, application_name, datname) (
  pgconn_root_blocker_victims{state=~"idle in transaction.*|prepared", client!="pgconn-exporter"}
) >= @{root_blocker_victims}""",
            hold="1m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }} does nothing and blocks"
                " {{ $value | humanize }} sessions"
            ),
            description=(
                '{{ if eq $labels.client "prepared transaction" }}A prepared transaction'
                "{{ else }}A session of {{ $labels.client }} (role {{ $labels.usename }}, database"
                " {{ $labels.datname }}, application_name {{ $labels.application_name }}){{ end }}"
                " holds locks in an open transaction, does nothing, and waits for nobody. The"
                " sessions behind it look slow but are its victims: they go on as soon as it ends."
            ),
            first_action=(
                '{{ if eq $labels.client "prepared transaction" }}In psql: SELECT gid, prepared,'
                " owner, database FROM pg_prepared_xacts ORDER BY prepared; then ROLLBACK PREPARED"
                " or COMMIT PREPARED the oldest, as its transaction manager says.{{ else }}In"
                " psql: SELECT pid, client_addr, now() - xact_start AS open, query FROM"
                " pg_stat_activity WHERE usename = '{{ $labels.usename }}' AND state LIKE 'idle in"
                " transaction%' ORDER BY xact_start; then end the one that"
                " blocks as the runbook says.{{ end }}"
            ),
            dashboard=Dashboard.BLOCKING,
        ),
        Rule(
            alert="PostgresSessionsBlocked",
            severity=Severity.WARNING,
            # Root blockers come and go while the queue stays: named in the text, not in a label.
            expr="""\
sum by (job, instance, target) (pgconn_blocked_connections{client!="pgconn-exporter"})
  >= @{blocked_many}""",
            hold="2m",
            keep="5m",
            summary="{{ $labels.target }}: {{ $value | humanize }} sessions wait for a lock",
            description=(
                "At least @{blocked_many.words} sessions wait for locks that others hold, and look"
                f" slow though they are not.{_ROOT_BLOCKERS}"
            ),
            first_action=_FIND_ROOT_BLOCKER,
            dashboard=Dashboard.BLOCKING,
        ),
        Rule(
            alert="PostgresLockWaitLong",
            severity=Severity.WARNING,
            expr="""\
max by (job, instance, target, datname) (
  pgconn_lock_wait_max_seconds{client!="pgconn-exporter"}
) > @{lock_wait}""",
            hold="1m",
            keep="5m",
            summary=(
                "{{ $labels.datname }} on {{ $labels.target }}: a session has waited for a lock"
                " for {{ $value | humanizeDuration }}"
            ),
            description=(
                "A wait of more than @{lock_wait.words} is longer than most clients wait for an"
                " answer. Whoever holds the lock, not who waits for it, is what to look at."
                f"{_ROOT_BLOCKERS}"
            ),
            first_action=_FIND_ROOT_BLOCKER,
            dashboard=Dashboard.BLOCKING,
        ),
        Rule(
            alert="PostgresLongTransaction",
            severity=Severity.WARNING,
            expr="""\
max by (job, instance, target, client, usename, application_name, datname) (
  pgconn_transaction_age_max_seconds{client!="pgconn-exporter"}
) > @{transaction_age}""",
            hold="5m",
            keep="5m",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: a transaction has been open for"
                " {{ $value | humanizeDuration }}"
            ),
            description=(
                "A transaction of role {{ $labels.usename }} in database {{ $labels.datname }}"
                " (application_name {{ $labels.application_name }}) is older than"
                " @{transaction_age.words}. VACUUM can remove nothing that died since it began, and"
                " whoever needs its locks waits."
            ),
            first_action=(
                "In psql: SELECT pid, client_addr, state, now() - xact_start AS open, query FROM"
                " pg_stat_activity WHERE usename = '{{ $labels.usename }}' ORDER BY xact_start"
                " LIMIT 5; a backup or a migration may be right to take that long."
            ),
            dashboard=Dashboard.BLOCKING,
        ),
        Rule(
            alert="PostgresDeadlocks",
            severity=Severity.WARNING,
            # A session tells the server of its deadlock when it next reports its statistics,
            # which from 15 on may take an idle one minutes.
            expr="""\
sum by (job, instance, target, datname) (increase(pgconn_database_deadlocks_total[15m]))
  >= @{deadlocks}""",
            summary=(
                "{{ $labels.datname }} on {{ $labels.target }}: deadlocks within 15 minutes:"
                ' {{ printf "%.0f" $value }}'
            ),
            description=(
                "Transactions of {{ $labels.datname }} took the same locks in different orders, and"
                " the server ended one of each pair with an error (SQLSTATE 40P01). Its client lost"
                " that transaction unless it tries again."
            ),
            first_action=(
                'Look for "deadlock detected" in the log of {{ $labels.target }}: its DETAIL names'
                " both statements."
            ),
            dashboard=Dashboard.BLOCKING,
        ),
    ),
)
