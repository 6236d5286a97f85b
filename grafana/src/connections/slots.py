"""Whether the slots suffice: one number for each server, in the row of the holders."""

from typing import Final

from grafana.src.connections.clients import ORPHANS
from grafana.src.house import GREEN, Query, Stat, Word, orange, red

USABLE: Final = "max by (target) (pgconn_slots_usable > 0)"
"""The slots that an ordinary role may take, where they are known."""

USED: Final = Stat(
    title="Slots used",
    question="How full is the server?",
    meaning="Of the slots that an ordinary role may take.",
    then="See the largest client in the table. When nobody can connect any more, end idle"
    " connections as the runbook PostgresSlotsCritical says.",
    queries=(
        Query(
            expr="max by (target) (pgconn_slots_used"
            " / on (job, instance, target) (pgconn_slots_usable > 0))",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    steps=(orange("slots_high"), red("slots_critical")),
    empty="Unknown",
    decimals=0,
)
"""The share of the slots that is taken."""

FILLED: Final = Stat(
    title="Orphans fill the slots",
    question="Are slots short because of connections that nobody needs?",
    meaning="The share of the usable slots that orphans hold. As long as many slots are free they"
    " are in nobody's way: No.",
    then="End them: the table of orphans tells which and how, the runbook"
    " PostgresOrphansExhaustSlots the statements.",
    queries=(
        Query(
            expr=f"""\
max by (target) (
  sum by (job, instance, target) ({ORPHANS})
    / on (job, instance, target) (pgconn_slots_usable > 0)
    * on (job, instance, target) (
      pgconn_slots_used / on (job, instance, target) (pgconn_slots_usable > 0)
        > bool @{{orphans_share_from}}
    )
)
or on (target) max by (target) (pgconn_slots_used) * 0""",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=8,
    steps=(red("orphans_share"),),
    words={0: Word("No", GREEN)},
    empty="Unknown",
    decimals=0,
)
"""The share that orphans take, where it makes slots short."""

OVERCOMMITTED: Final = Stat(
    title="Pools exceed the slots by",
    question="If every client filled its pool, would the server refuse some?",
    meaning="The configured pool sizes, added up, less the usable slots.",
    then="Make the largest pools smaller, or put PgBouncer in between: runbook"
    " PostgresPoolsExceedSlots.",
    queries=(
        Query(
            expr="clamp_min(max by (target) ("
            "sum by (job, instance, target) (pgconn_client_pool_size)"
            " - on (job, instance, target) pgconn_slots_usable), 0)",
            legend="{{target}}",
        ),
    ),
    unit="short",
    width=8,
    steps=(orange(1),),
    words={0: Word("No", GREEN)},
    empty="No client has a pool_size",
    decimals=0,
)
"""What would be missing if every client took what it may."""
