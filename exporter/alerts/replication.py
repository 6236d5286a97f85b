"""Replication slots without a consumer, and restarts of the server."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

_SLOT = "job, instance, target, slot_name"

REPLICATION = Group(
    "pgconn-replication",
    (
        Rule(
            alert="PostgresReplicationSlotInactive",
            severity=Severity.WARNING,
            expr=f"""\
max by ({_SLOT}) (pgconn_replication_slot_retained_bytes) > @{{slot_retained}}
and on ({_SLOT}) max by ({_SLOT}) (pgconn_replication_slot_active) == 0
and on ({_SLOT}) max by ({_SLOT}) (delta(pgconn_replication_slot_retained_bytes[30m])) > 0""",
            hold="15m",
            keep="5m",
            summary=(
                "{{ $labels.target }}: nobody consumes replication slot {{ $labels.slot_name }},"
                " for which {{ $value | humanize1024 }}B of WAL are kept"
            ),
            description=(
                "The server keeps all WAL since this slot's consumer was last there, and it"
                " becomes more. When the disk is full the server stops."
            ),
            first_action=(
                "Start the consumer of {{ $labels.slot_name }} again. If there is none any more, in"
                " psql: SELECT pg_drop_replication_slot('{{ $labels.slot_name }}');"
            ),
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresRestarted",
            severity=Severity.INFO,
            expr="""\
max by (job, instance, target) (
  pgconn_postmaster_start_time_seconds
    > min_over_time(pgconn_postmaster_start_time_seconds[15m])
)""",
            summary=(
                "{{ $labels.target }} was restarted, at {{ $value | humanizeTimestamp }} on its own"
                " clock"
            ),
            description=(
                "All sessions ended then, and the clients had to connect again. If nobody did this"
                " on purpose, the server crashed, or another one took its place."
            ),
            first_action=(
                "Look into the log of {{ $labels.target }} before that time: who asked it to stop,"
                " or what made it stop?"
            ),
            dashboard=Dashboard.INCIDENT,
        ),
    ),
)
