"""Can clients connect, how long still, and do they wait in a pool: the first look."""

from typing import Final

from exporter.alerts.model import Dashboard
from exporter.alerts.slots import FORECAST, SLOTS_RATIO
from grafana.src.house import BLUE, GREEN, GREY, NO, RED, Query, Row, Stat, Word, orange, red, to
from grafana.src.incident.states import STATE, STATES, UNKNOWN

_BUSY_POOLS = """\
topk by (target) (1,
  max by (target, client) (
    avg_over_time(pgconn_client_busy_connections[1m])
      / on (job, instance, target, client)
        (pgconn_client_pool_size >= @{pool_saturated_from})
  )
)"""

CONNECTING: Final = Row(
    "Can clients connect?",
    (
        Stat(
            title="Clients can connect",
            question="Is a new connection accepted now?",
            meaning=(
                "The exporter's probe logs in anew, as a client does. Refused: all slots are taken"
                " (SQLSTATE 53300). No: another error. Unreachable: the exporter's own connection"
                " is gone, too. Unknown: no exporter answers."
            ),
            then=(
                "Refused: make room at the largest holder below (runbook"
                " PostgresConnectionsRefused). Else: runbooks PostgresProbeFailing,"
                " PgconnTargetUnreachable and PgconnExporterDown."
            ),
            queries=(Query(expr=STATE, legend="{{target}}"),),
            unit="short",
            width=4,
            words=STATES,
            base=RED,
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Failing since",
            question="For how long has no new connection been accepted?",
            then="Compare it with what was deployed then, and with the graphs at the end.",
            queries=(
                Query(
                    expr="""\
1000 * min by (target) (pgconn_probe_failing_since_timestamp_seconds)
or on (target)
0 * min by (target) (pgconn_probe_success)""",
                    legend="{{target}}",
                ),
            ),
            unit="dateTimeFromNow",
            width=4,
            steps=(red(1),),
            base=GREY,
            words={0: Word("Accepted", GREEN)},
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Slots used",
            question="How full are the slots that clients may take?",
            then=(
                "Find the largest holder below and see whether what it holds is idle (runbook"
                " PostgresSlotsCritical)."
            ),
            queries=(Query(expr=f"max by (target) ({SLOTS_RATIO})", legend="{{target}}"),),
            unit="percentunit",
            width=4,
            steps=(orange("slots_high"), red("slots_critical")),
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Full in",
            question="How long until the slots are full?",
            meaning="At the rate of the last minutes, where they fill up steadily.",
            then=(
                "See below which client grows, and stop it before the slots run out (runbook"
                " PostgresSlotsExhaustionForecast)."
            ),
            queries=(
                Query(
                    expr=f"""\
min by (target) (
{FORECAST}
)
or on (target)
-2 + 0 * max by (target) (
  pgconn_slots_used >= on (job, instance, target) pgconn_slots_usable
)
or on (target)
-1 + 0 * max by (target) (pgconn_slots_used)""",
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange(NO),),
            base=GREY,
            words={-2: Word("Now", BLUE), -1: Word("Steady", GREEN)},
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Fullest pool of a client",
            question="Do requests wait for a connection of their own application's pool?",
            meaning=(
                "Connections that are not idle, of the pool size in the exporter's configuration:"
                " with all of them busy, requests wait however many slots are free."
            ),
            then=(
                "Go on below: busy with orphans, behind a lock, or with slow queries (runbook"
                " PostgresClientPoolSaturated)?"
            ),
            queries=(Query(expr=_BUSY_POOLS, legend="{{target}} {{client}}"),),
            unit="percentunit",
            width=4,
            steps=(red("pool_saturated"),),
            empty="No pool size known",
            links=(to(Dashboard.CONNECTIONS, "target", "client"),),
            decimals=0,
            named=True,
        ),
        Stat(
            title="Longest wait in PgBouncer",
            question="Do clients wait for PgBouncer to give them a server connection?",
            then=(
                "If PostgreSQL is slow or blocked, start there; only if not is the pool too small"
                " (runbook PgBouncerPoolSaturated)."
            ),
            queries=(
                Query(
                    expr="max by (target) (pgconn_pgbouncer_pool_max_wait_seconds)",
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(red("pgbouncer_wait"),),
            words={0: Word("Nobody waits", GREEN)},
            empty="No PgBouncer",
            links=(to(Dashboard.PGBOUNCER, "target"),),
            decimals=1,
        ),
    ),
)
"""Whether clients get a connection, and what still is free."""
