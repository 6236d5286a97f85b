"""Can clients still connect: slots that run out, and refusals."""

from exporter.alerts.model import Dashboard, Group, Rule, Severity

_HOLDERS = (
    '{{ range query (printf "topk by (target) (3, sum by (target, client)'
    " (pgconn_client_connections{job='%s', target='%s'}))\" $labels.job $labels.target) }}"
    " {{ .Labels.client }} {{ .Value }}{{ end }}"
)

SLOTS = Group(
    "pgconn-slots",
    (
        Rule(
            alert="PostgresSlotsCritical",
            severity=Severity.CRITICAL,
            expr="""\
pgconn_slots_used / on (job, instance, target) (pgconn_slots_usable > 0)
  > @{slots_critical}""",
            hold="2m",
            keep="5m",
            summary="{{ $labels.target }}: {{ $value | humanizePercentage }} of the slots are used",
            description="Above @{slots_critical.words} there is no room for a burst.",
            first_action="Open the dashboard: who holds the connections?",
            dashboard=Dashboard.INCIDENT,
        ),
    ),
)
