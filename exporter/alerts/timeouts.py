"""Which timeout is wrong: what will be an incident at the next slow query."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

TIMEOUTS = Group(
    "pgconn-timeouts",
    (
        Rule(
            alert="PostgresTimeoutMismatch",
            severity=Severity.INFO,
            expr="""\
max by (job, instance, target, client, rule) (
  pgconn_timeout_mismatch{rule!="dead_clients_linger"}
) == 1""",
            hold="1h",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: a timeout of the server does not fit"
                " the client's ({{ $labels.rule }})"
            ),
            description=(
                '{{ if eq $labels.rule "statement_timeout_above_request_timeout" }}The server goes'
                " on with a statement after {{ $labels.client }} has given up on it: at the next"
                " slow query abandoned ones pile up."
                '{{ else if eq $labels.rule "idle_timeout_below_pool_idle" }}The server cuts off'
                " idle connections that the pool of {{ $labels.client }} still trusts: the next"
                " request that takes one fails."
                '{{ else if eq $labels.rule "no_idle_in_transaction_timeout" }}Nothing ends a'
                " transaction that {{ $labels.client }} leaves open: it keeps its locks for ever."
                "{{ else }}The documentation of pgconn_timeout_mismatch says what"
                " {{ $labels.rule }} means.{{ end }}"
            ),
            first_action=(
                '{{ if eq $labels.rule "statement_timeout_above_request_timeout" }}ALTER ROLE ...'
                " SET statement_timeout to a little less than the client's own timeout"
                '{{ else if eq $labels.rule "idle_timeout_below_pool_idle" }}Have the pool recycle'
                " connections before idle_session_timeout ends them"
                '{{ else if eq $labels.rule "no_idle_in_transaction_timeout" }}ALTER ROLE ... SET'
                " idle_in_transaction_session_timeout = '60s'"
                "{{ else }}Open the dashboard and compare the timeouts{{ end }}, for the role that"
                " {{ $labels.client }} logs in with."
            ),
            dashboard=Dashboard.EXPORTER,
        ),
        Rule(
            alert="PostgresDeadClientsLinger",
            severity=Severity.WARNING,
            expr="""\
max by (job, instance, target, client) (
  pgconn_timeout_mismatch{rule="dead_clients_linger"}
) == 1""",
            hold="1h",
            summary=(
                "{{ $labels.client }} on {{ $labels.target }}: the server keeps sessions of clients"
                " that are gone for too long"
            ),
            description=(
                "When {{ $labels.client }} vanishes without a goodbye (killed, or cut off by the"
                " network), the server keeps its sessions for longer than the client would have"
                " used them. In a crash loop these sessions take the slots of those that live."
            ),
            first_action=(
                "In postgresql.conf of {{ $labels.target }}: tcp_keepalives_idle = 60 for idle"
                " sessions, client_connection_check_interval = '10s' (14 on) for active ones; then"
                " SELECT pg_reload_conf();"
            ),
            dashboard=Dashboard.EXPORTER,
        ),
    ),
)
