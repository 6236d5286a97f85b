"""Whether a pool is full, a limit near, or connections come and go."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.connections.clients import BUSY, CLIENT
from grafana.src.house import BarGauge, Query, Row, TimeSeries, orange, red, to
from grafana.src.shared import LINES, OTHERS

_SATURATION: Final = TimeSeries(
    title="Busy connections of the pool",
    question="Do a client's requests wait for its own pool, however free the server is?",
    meaning="On average of a minute; clients with a pool_size only, and no tiny pools.",
    then="Red: see what keeps them busy on Load and statements, or who blocks them on Blocking;"
    " runbook PostgresClientPoolSaturated. A larger pool comes last.",
    queries=(Query(expr=f"topk({LINES}, {BUSY})", legend="{{target}} {{client}}"),),
    unit="percentunit",
    width=12,
    steps=(red("pool_saturated"),),
    links=(to(Dashboard.LOAD, "target", "client"), to(Dashboard.BLOCKING, "target", "client")),
    empty="No client has a pool_size",
)

_CHURN: Final = TimeSeries(
    title="Connections opened",
    question="Who opens connections all the time, in place of keeping them?",
    meaning="A lower bound: what comes and goes between two polls is not seen. Dashed: closed. When"
    " both rise at once, workers died and came back.",
    then="Have the client keep its connections: CONN_MAX_AGE, a pool, or PgBouncer; runbook"
    " PostgresConnectionChurn.",
    queries=(
        Query(
            expr=f"topk({LINES}, max by ({CLIENT})"
            f" (rate(pgconn_connections_opened_total{{{OTHERS}}}[$__rate_interval])))",
            legend="{{target}} {{client}}",
        ),
        Query(
            expr=f"topk({LINES}, max by ({CLIENT})"
            f" (rate(pgconn_connections_closed_total{{{OTHERS}}}[$__rate_interval])))",
            legend="{{target}} {{client}} closed",
            dashed=True,
        ),
    ),
    unit="cps",
    width=12,
    steps=(orange("churn"),),
    empty="Nobody connects",
)

_PEAKS: Final = TimeSeries(
    title="Peaks against averages",
    question="Do bursts between two scrapes take the slots, and whose are they?",
    meaning="Share of the usable slots at the highest moment, of all and of each client. Dashed:"
    " the average of all.",
    then="A high peak over a low average is a client that opens a connection for each request: have"
    " it keep them; runbook PostgresSlotsPeak.",
    queries=(
        Query(
            expr="""\
max by (target) (
  max_over_time(pgconn_slots_used_peak[3m])
    / on (job, instance, target) (pgconn_slots_usable > 0)
)""",
            legend="{{target}} all",
        ),
        Query(
            expr=f"""\
topk({LINES},
  max by ({CLIENT}) (
    pgconn_connections_peak{{{OTHERS}}}
      / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
  )
)""",
            legend="{{target}} {{client}}",
        ),
        Query(
            expr="""\
max by (target) (
  avg_over_time(pgconn_slots_used[5m])
    / on (job, instance, target) (pgconn_slots_usable > 0)
)""",
            legend="{{target}} all, average",
            dashed=True,
        ),
    ),
    unit="percentunit",
    width=12,
    steps=(orange("peak_high"),),
    top=1,
    empty="Unknown",
)

_LIMITS: Final = BarGauge(
    title="CONNECTION LIMIT used",
    question="Which role or database is about to be refused, however many slots are free?",
    meaning="The ten nearest of each, of those that have a limit.",
    then="See in the table of connections which client it is and whether it is idle; raise the"
    " limit as the runbooks PostgresRoleLimitNear and PostgresDatabaseLimitNear say.",
    queries=(
        Query(
            expr="""\
topk(10, max by (target, usename) (
  pgconn_role_connections
    / on (job, instance, target, usename) (pgconn_role_connection_limit > 0)
))""",
            legend="{{target}} role {{usename}}",
        ),
        Query(
            expr="""\
topk(10, max by (target, datname) (
  pgconn_database_connections
    / on (job, instance, target, datname) (pgconn_database_connection_limit > 0)
))""",
            legend="{{target}} database {{datname}}",
        ),
    ),
    unit="percentunit",
    width=12,
    steps=(orange("limit_near"),),
    top=1,
    decimals=0,
    empty="No limit is set",
)

POOLS: Final = Row(
    "Is a pool full, a limit near, or do they come and go?",
    (_SATURATION, _CHURN, _PEAKS, _LIMITS),
)
"""What refuses or delays a client although the server has slots."""
