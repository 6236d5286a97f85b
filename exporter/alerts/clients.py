"""Who holds the connections: pools that are full, leak or churn, and who takes most."""

from typing import Final

from exporter.alerts.model import Dashboard, Group, Rule, Severity
from exporter.alerts.slots import SLOTS_RATIO, TOP_HOLDERS, USABLE

_POOL_SIZE: Final = (
    "{{ with query (printf"
    ' "pgconn_client_pool_size{job=%q, instance=%q, target=%q, client=%q}"'
    " $labels.job $labels.instance $labels.target $labels.client) }}"
    ' of {{ . | first | value | printf "%.0f" }}{{ end }}'
)

_POOL_SIZES: Final = (
    "{{ with query (printf"
    ' "topk(5, pgconn_client_pool_size{job=%q, instance=%q, target=%q})"'
    " $labels.job $labels.instance $labels.target) }}"
    " Largest pools:{{ range $place, $pool := . }}"
    '{{ if $place }},{{ end }} {{ $pool.Labels.client }} {{ $pool.Value | printf "%.0f" }}'
    "{{ end }}.{{ end }}"
)


def _hogs_slots(slots_used_from: str) -> str:
    """Give each client that holds more than its share, while so much of the slots is used."""
    return f"""\
pgconn_client_connections{{client!="pgconn-exporter"}}
  / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
  > @{{client_share}}
and on (job, instance, target) ({SLOTS_RATIO} > @{{{slots_used_from}}})"""


_HOGS_SUMMARY: Final = (
    "{{ $labels.target }}: {{ $labels.client }} holds {{ $value | humanizePercentage }} of the"
    " slots that clients may take"
)

CLIENTS = Group(
    "pgconn-clients",
    (
        Rule(
            alert="PostgresClientPoolSaturated",
            severity=Severity.CRITICAL,
            # The average: in a flood of short queries each look finds one or two between requests.
            expr="""\
avg_over_time(pgconn_client_busy_connections[1m])
  / on (job, instance, target, client)
    (pgconn_client_pool_size >= @{pool_saturated_from})
  >= @{pool_saturated}""",
            hold="2m",
            keep="2m",
            summary="{{ $labels.target }}: {{ $labels.client }} has"
            " {{ $value | humanizePercentage }} of its pool" + _POOL_SIZE + " busy",
            description="Requests of this client wait for a connection of its own pool, however"
            " many slots the server has left. Either its queries are slow or blocked, or they run"
            " on for requests that nobody waits for any more.",
            first_action="See on the dashboard what the connections of {{ $labels.client }} are"
            " busy with: a lock, a slow statement, or idle in transaction.",
            dashboard=Dashboard.INCIDENT,
        ),
        Rule(
            alert="PostgresClientExceedsPool",
            severity=Severity.WARNING,
            expr="""\
pgconn_client_connections > on (job, instance, target, client) pgconn_client_pool_size""",
            hold="5m",
            keep="5m",
            summary='{{ $labels.target }}: {{ $labels.client }} holds {{ $value | printf "%.0f" }}'
            " connections and has a pool" + _POOL_SIZE,
            description="The client holds more connections than all of its pools can: it leaks"
            " them, its workers died and left theirs behind, or pool_size in the exporter's"
            " configuration is too low.",
            first_action="See on the dashboard how old the idle connections of {{ $labels.client }}"
            " are and from which addresses they come.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresClientHogsSlots",
            severity=Severity.CRITICAL,
            expr=_hogs_slots("slots_critical"),
            hold="2m",
            keep="3m",
            summary=_HOGS_SUMMARY,
            description="More than @{slots_critical.words} of the slots are used, most of them by"
            " this one client: the next burst is refused, whoever it comes from." + TOP_HOLDERS,
            first_action="See on the dashboard whether what {{ $labels.client }} holds is idle: if"
            " so, restart it or end its idle connections as the runbook says.",
            dashboard=Dashboard.INCIDENT,
        ),
        Rule(
            alert="PostgresClientHogsSlots",
            severity=Severity.WARNING,
            expr=_hogs_slots("client_share_from"),
            hold="5m",
            keep="5m",
            summary=_HOGS_SUMMARY,
            description="More than @{client_share_from.words} of the slots are used, most of them"
            " by this one client: if it grows, everybody is refused." + TOP_HOLDERS,
            first_action="See on the dashboard whether what {{ $labels.client }} holds is idle,"
            " and compare it with its pool size.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresConnectionChurn",
            severity=Severity.WARNING,
            expr="""\
sum by (job, instance, target, client) (
  rate(pgconn_connections_opened_total{client!="pgconn-exporter"}[5m])
) > @{churn}""",
            hold="10m",
            keep="5m",
            summary="{{ $labels.target }}: {{ $labels.client }} opens at least"
            ' {{ $value | printf "%.0f" }} connections a second',
            description="Each connection costs the server a process and a login, and bursts of"
            " them take slots that a pool would not. What comes and goes between two polls is not"
            " even counted.",
            first_action="Have {{ $labels.client }} keep its connections: CONN_MAX_AGE, a pool in"
            " the application, or PgBouncer.",
            dashboard=Dashboard.CONNECTIONS,
        ),
        Rule(
            alert="PostgresPoolsExceedSlots",
            severity=Severity.WARNING,
            expr="""\
sum by (job, instance, target) (pgconn_client_pool_size)
  > on (job, instance, target) pgconn_slots_usable""",
            hold="1h",
            summary="{{ $labels.target }}: the pools of its clients may take"
            ' {{ $value | printf "%.0f" }} connections, more than its' + USABLE + " usable slots",
            description="If all clients fill their pools, the server refuses connections although"
            " nobody does anything wrong." + _POOL_SIZES,
            first_action="Make the largest pools smaller, or put PgBouncer in between; raise"
            " max_connections only if the server's memory allows it.",
            dashboard=Dashboard.CONNECTIONS,
        ),
    ),
)
