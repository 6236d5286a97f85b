"""Whether one more consumer can connect, and WAL is kept for one that does not come."""

from typing import Final

from grafana.src.house import CLEAR, GREEN, GREY, Column, Query, Row, Stat, Table, Word, orange
from grafana.src.shared import complete

_SLOT: Final = "target, slot_name, slot_type"
_ACTIVE: Final = f"max by ({_SLOT}) (pgconn_replication_slot_active)"
_RETAINED: Final = f"max by ({_SLOT}) (pgconn_replication_slot_retained_bytes)"

_WAL_SENDERS: Final = Stat(
    title="WAL senders used",
    question="Can one more standby, consumer or backup connect?",
    meaning="Of max_wal_senders; they take none of the clients' slots.",
    then="See pg_stat_replication for who they are; end those of consumers that are gone: runbook"
    " PostgresWalSendersHigh.",
    queries=(
        Query(
            expr="max by (target) (pgconn_wal_senders_used"
            " / on (job, instance, target) (pgconn_wal_senders_max > 0))",
            legend="{{target}}",
        ),
    ),
    unit="percentunit",
    width=6,
    height=6,
    steps=(orange("wal_senders_high"),),
    empty="No WAL sender is allowed",
    decimals=0,
)

_SLOTS_KEPT: Final = Table(
    title="Replication slots",
    question="Is WAL kept for a consumer that does not come any more?",
    then="Start the consumer again, or drop the slot before the disk is full: runbook"
    " PostgresReplicationSlotInactive.",
    queries=(
        Query(expr=_ACTIVE),
        Query(expr=complete(_RETAINED, _ACTIVE, _SLOT)),
        Query(
            expr=complete(
                f"{_RETAINED} and on ({_SLOT}) {_ACTIVE} == 0 and on ({_SLOT})"
                f" max by ({_SLOT}) (delta(pgconn_replication_slot_retained_bytes[30m])) > 0",
                _ACTIVE,
                _SLOT,
            )
        ),
    ),
    columns=(
        Column(name="target", title="Target"),
        Column(name="slot_name", title="Slot"),
        Column(name="slot_type", title="Type"),
        Column(
            name="A",
            title="Consumer",
            unit="short",
            words={0: Word("absent", GREY), 1: Word("connected", GREEN)},
        ),
        Column(name="B", title="WAL kept", unit="bytes"),
        Column(
            name="C",
            title="Growing for nobody",
            unit="bytes",
            steps=(orange("slot_retained"),),
            base=CLEAR,
        ),
    ),
    order="WAL kept",
    unit="bytes",
    width=18,
    height=6,
    empty="There is no replication slot",
)

REPLICATION: Final = Row("Replication", (_WAL_SENDERS, _SLOTS_KEPT))
"""The WAL senders in use, and what the replication slots keep."""
