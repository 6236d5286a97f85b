"""Which way do I go: each kind of cause has its number, which leads to its dashboard."""

from typing import Final

from exporter.alerts.model import Dashboard
from exporter.alerts.slots import SLOTS_RATIO
from grafana.src.house import BLUE, GREEN, Query, Row, Stat, Step, Word, orange, to
from grafana.src.incident.states import UNKNOWN
from grafana.src.shared import OTHERS, added_up

_NOTHING: Final[dict[float, Word]] = {0: Word("None", GREEN)}


def _seen(expr: str) -> str:
    """Give 0 for each server whose sessions are seen and that an expression has nothing of."""
    return f"{expr}\nor on (target)\n0 * max by (target) (pgconn_slots_used)"


_OUTLIVED = f'reason=~"query_outlived_client|client_gone", {OTHERS}'
# What the alerts count: queries that nobody waits for, and what is idle where that is many.
_ORPHANS = added_up(
    "target",
    f"""
  sum by (job, instance, target, client, reason) (
    pgconn_orphaned_connections{{{_OUTLIVED}}}
  )
  or on (job, instance, target, client, reason)
  sum by (job, instance, target, client, reason) (
    pgconn_orphaned_connections{{reason=~"idle_.+", {OTHERS}}}
  ) >= @{{orphans_many}}
""",
)

_HOG = f"""\
topk by (target) (1,
  max by (target, client) (
    pgconn_client_connections{{{OTHERS}}}
      / on (job, instance, target) group_left () (pgconn_slots_usable > 0)
    and on (job, instance, target) ({SLOTS_RATIO} > @{{client_share_from}})
  )
)"""

WAY: Final = Row(
    "Which way do I go? A click leads there",
    (
        Stat(
            title="Holder of most slots",
            question="Does one client take the slots of all others?",
            meaning=(
                "The client that holds most, where more than @{client_share_from.words} of the"
                " usable slots are used."
            ),
            then=(
                "See on the next dashboard whether what it holds is idle: restart it, or end its"
                " idle connections (runbook PostgresClientHogsSlots)."
            ),
            queries=(Query(expr=_seen(_HOG), legend="{{target}} {{client}}"),),
            unit="percentunit",
            width=4,
            steps=(orange("client_share"),),
            words={0: Word("Nobody", GREEN)},
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
            named=True,
        ),
        Stat(
            title="Orphaned connections",
            question="Do connections that nobody needs any more take the slots?",
            meaning=(
                "Queries that nobody waits for any more, and idle connections of a client that has"
                " left many."
            ),
            then=(
                "See their reasons on the next dashboard; restart that client or end them (runbooks"
                " PostgresQueriesOutliveClient and PostgresOrphanedConnections)."
            ),
            queries=(Query(expr=_seen(_ORPHANS), legend="{{target}}"),),
            unit="short",
            width=4,
            steps=(orange(1),),
            words=_NOTHING,
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
        ),
        Stat(
            title="Blocked sessions",
            question="Do sessions wait for a lock that another one holds?",
            then=(
                "End or finish the root blocker below, never its victims (runbooks"
                " PostgresRootBlockerIdle and PostgresSessionsBlocked)."
            ),
            queries=(
                Query(
                    expr=_seen(added_up("target", f"pgconn_blocked_connections{{{OTHERS}}}")),
                    legend="{{target}}",
                ),
            ),
            unit="short",
            width=4,
            steps=(orange("blocked_many"),),
            words=_NOTHING,
            empty=UNKNOWN,
            links=(to(Dashboard.BLOCKING, "target"),),
        ),
        Stat(
            title="Longest idle in transaction",
            question="Has somebody left a transaction open, and does nothing?",
            then=(
                "Its last query tells which code left it open; end the session if others wait for"
                " it (runbook PostgresIdleInTransaction)."
            ),
            queries=(
                Query(
                    expr=_seen(f"""\
max by (target) (
  pgconn_connection_state_age_max_seconds{{state=~"idle in .+", {OTHERS}}}
)"""),
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange("idle_in_transaction"),),
            words=_NOTHING,
            empty=UNKNOWN,
            links=(to(Dashboard.CONNECTIONS, "target"),),
            decimals=0,
        ),
        Stat(
            title="Longest unblocked query",
            question="Is a query slow by itself?",
            meaning="Those that wait for a lock are victims, and not counted.",
            then=(
                "Find whose it is, and the statement, on the next dashboard (runbook"
                " PostgresSlowCulprits)."
            ),
            queries=(
                Query(
                    expr=_seen(f"""\
max by (target) (
  pgconn_query_age_max_seconds{{blocked="false", {OTHERS}}}
)"""),
                    legend="{{target}}",
                ),
            ),
            unit="s",
            width=4,
            steps=(orange("slow_query"),),
            words=_NOTHING,
            empty=UNKNOWN,
            links=(to(Dashboard.LOAD, "target"),),
            decimals=0,
        ),
        Stat(
            title="Timeouts that do not fit",
            question="Does a wrong timeout make it worse?",
            meaning=(
                "Rules that a timeout of the server breaks, of all clients: why orphans are not"
                " ended by themselves. Blue is no alarm, it is what to mend afterwards."
            ),
            then="The next dashboard has each with its cure (runbook PostgresTimeoutMismatch).",
            queries=(
                Query(
                    expr=added_up("target", "pgconn_timeout_mismatch")
                    + "\nor on (target)\n0 * max by (target) (pgconn_slots_usable)",
                    legend="{{target}}",
                ),
            ),
            unit="short",
            width=4,
            steps=(Step(BLUE, 1),),
            words=_NOTHING,
            empty=UNKNOWN,
            links=(to(Dashboard.EXPORTER, "target"),),
        ),
    ),
)
"""One number for each kind of cause."""
