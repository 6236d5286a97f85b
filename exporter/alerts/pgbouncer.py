"""PgBouncer: pools that are full, and pools that promise more than the server has."""

from exporter.alerts.model import BEHIND_PGBOUNCER, Dashboard, Group, Rule, Severity
from exporter.alerts.servers import with_server

_POOL = "job, instance, target, database, user"
_DATABASE = "job, instance, target, database"

# Connections in states idle and used are free to be taken.
_BUSY = f'sum by ({_POOL}) (pgconn_pgbouncer_pool_servers{{state!~"idle|used"}})'
_SIZE = f"max by ({_POOL}) (pgconn_pgbouncer_pool_size > 0)"

# What the pools of a database can open together: their sizes, or max_db_connections if less.
_LIMITS = f"max by ({_DATABASE}) (pgconn_pgbouncer_database_connection_limit > 0)"
_SIZES = f"""\
sum by ({_DATABASE}) (pgconn_pgbouncer_pool_size + pgconn_pgbouncer_pool_reserve_size
          or pgconn_pgbouncer_pool_size)"""

_APPLICATIONS = (
    "{{ with query (printf"
    ' "topk(3, sum by (application_name)'
    " (pgconn_pgbouncer_client_connections{job=%q, instance=%q, target=%q, database=%q, user=%q,"
    " application_name!=''}))\""
    " $labels.job $labels.instance $labels.target $labels.database $labels.user) }}"
    " Its clients by application_name:{{ range $place, $found := . }}"
    "{{ if $place }},{{ end }} {{ $found.Labels.application_name }}"
    ' {{ $found.Value | printf "%.0f" }}{{ end }}.{{ end }}'
)

PGBOUNCER = Group(
    "pgconn-pgbouncer",
    (
        Rule(
            alert="PgBouncerPoolSaturated",
            severity=Severity.CRITICAL,
            expr=with_server(
                f"""\
max by ({_POOL}) (pgconn_pgbouncer_pool_max_wait_seconds) > @{{pgbouncer_wait}}
and on ({_POOL})
sum by ({_POOL}) (pgconn_pgbouncer_pool_clients{{state="waiting"}}) > 0
and on ({_POOL}) (
  {_BUSY}
    >= on ({_POOL}) {_SIZE}
  or on ({_POOL})
  {_BUSY}
    and on ({_DATABASE})
  max by ({_DATABASE}) (pgconn_pgbouncer_database_connections)
    >= on ({_DATABASE}) {_LIMITS}
)"""
            ),
            hold="1m",
            keep="2m",
            summary=(
                "{{ $labels.target }}: clients of pool {{ $labels.database }}/{{ $labels.user }}"
                " have waited for {{ $value | humanizeDuration }} for a connection"
            ),
            description=(
                "All connections to PostgreSQL that the pool may have are busy, and the first"
                " client in its queue has waited for more than @{pgbouncer_wait.words}. Either its"
                " queries or transactions take longer than usual, or more clients than usual want"
                " one." + _APPLICATIONS
            ),
            first_action=(
                "Open the dashboard: is PostgreSQL slow or blocked? If so, start there; only if"
                " not is the pool too small. On the PgBouncer console: SHOW SERVERS, then SHOW"
                " POOLS."
            ),
            dashboard=Dashboard.PGBOUNCER,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PgBouncerPoolHigh",
            severity=Severity.WARNING,
            expr=with_server(
                f"""\
{_BUSY}
  / on ({_POOL}) {_SIZE}
  > @{{pgbouncer_pool_high}}"""
            ),
            hold="10m",
            keep="5m",
            summary=(
                "{{ $labels.target }}: pool {{ $labels.database }}/{{ $labels.user }} is"
                " {{ $value | humanizePercentage }} busy"
            ),
            description=(
                "For minutes more than @{pgbouncer_pool_high.words} of the pool's connections to"
                " PostgreSQL have been busy. At the next burst clients will have to wait."
            ),
            first_action=(
                "Open the dashboard: did the number of queries grow, or the time that a transaction"
                " takes?"
            ),
            dashboard=Dashboard.PGBOUNCER,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PgBouncerClientSlotsHigh",
            severity=Severity.CRITICAL,
            expr=with_server(
                """\
max by (job, instance, target) (pgconn_pgbouncer_clients_used)
  / on (job, instance, target)
  max by (job, instance, target) (pgconn_pgbouncer_clients_max > 0)
  > @{pgbouncer_clients_high}"""
            ),
            hold="3m",
            keep="5m",
            summary=(
                "{{ $labels.target }}: {{ $value | humanizePercentage }} of max_client_conn are"
                " used"
            ),
            description=(
                "PgBouncer turns away clients beyond max_client_conn (no more connections allowed),"
                " whatever PostgreSQL could still take. Either clients pile up because they wait,"
                " or some client opens connections without end."
            ),
            first_action=(
                "Open the dashboard: do clients wait? If so, look at the pool they wait for; if"
                " not, SHOW CLIENTS on the PgBouncer console tells by addr who has so many."
            ),
            dashboard=Dashboard.PGBOUNCER,
            server=BEHIND_PGBOUNCER,
        ),
        Rule(
            alert="PgBouncerOvercommits",
            severity=Severity.INFO,
            # Several exporters may watch the same PgBouncer: it counts once.
            expr=f"""\
sum by (job, server) (
  max by (job, target, server) (
    sum by (job, instance, target) (
      {_LIMITS}
        < on ({_DATABASE})
        {_SIZES}
      or on ({_DATABASE})
        {_SIZES}
      or on ({_DATABASE})
      {_LIMITS}
    )
    * on (job, instance, target) group_left (server)
    max by (job, instance, target, server) (pgconn_pgbouncer_info{{server!=""}})
  )
)
/ on (job, server) group_right ()
label_replace(
  max by (job, instance, target) (pgconn_slots_usable > 0), "server", "$1", "target", "(.+)"
)
> 1""",
            hold="1h",
            summary=(
                "The PgBouncers in front of {{ $labels.target }} may open more connections than it"
                " takes: {{ $value | humanizePercentage }} of its usable slots"
            ),
            description=(
                "The pools of all PgBouncers in front of {{ $labels.target }}, reserve pools"
                " included, add up to more connections than the server takes. That does no harm"
                " until they are all busy at once: then clients get errors where they could have"
                " waited."
            ),
            first_action=(
                "Lower default_pool_size, reserve_pool_size or max_db_connections of the PgBouncers"
                " in front of {{ $labels.target }}, or raise its max_connections."
            ),
            dashboard=Dashboard.PGBOUNCER,
        ),
        Rule(
            alert="PgBouncerDatabasePaused",
            severity=Severity.WARNING,
            expr=with_server(
                f"""\
max by ({_DATABASE}) (pgconn_pgbouncer_database_paused) == 1"""
            ),
            hold="2m",
            summary="{{ $labels.target }}: database {{ $labels.database }} is paused",
            description=(
                "Database {{ $labels.database }} has been paused, suspended or disabled for"
                " minutes: its clients wait or are refused. That is right during a switchover, and"
                " an outage when somebody forgot to end it."
            ),
            first_action=(
                "Ask who works on it. If nobody does, on the PgBouncer console: RESUME"
                " {{ $labels.database }}; (after DISABLE: ENABLE {{ $labels.database }};)"
            ),
            dashboard=Dashboard.PGBOUNCER,
            server=BEHIND_PGBOUNCER,
        ),
    ),
)
