"""Replication: slots that hold back WAL, and WAL senders, which have slots of their own."""

from collections.abc import Iterator

from exporter.collectors.base import Collector, gauge
from exporter.exposition import Sample
from exporter.snapshot import Replication

SLOT_ACTIVE = gauge(
    "pgconn_replication_slot_active",
    "1 while a consumer is connected to the replication slot, else 0. As of the last poll.",
    ["slot_name", "slot_type"],
)
SLOT_RETAINED = gauge(
    "pgconn_replication_slot_retained_bytes",
    "WAL that the server keeps for the replication slot; absent for a slot that holds none. As of"
    " the last poll.",
    ["slot_name", "slot_type"],
)
WAL_SENDERS_USED = gauge(
    "pgconn_wal_senders_used",
    "WAL senders that run; they take none of the clients' slots. As of the last poll.",
)
WAL_SENDERS_MAX = gauge("pgconn_wal_senders_max", "max_wal_senders, as of the last poll.")


class ReplicationSlots(Collector[Replication]):
    """Tell the state of replication slots and WAL senders."""

    metrics = (SLOT_ACTIVE, SLOT_RETAINED, WAL_SENDERS_USED, WAL_SENDERS_MAX)

    def collect(self, snapshot: Replication) -> Iterator[Sample]:
        """Yield slots and WAL senders."""
        for slot in snapshot.slots:
            labels = slot.slot_name, slot.slot_type
            yield Sample(SLOT_ACTIVE, labels, int(slot.active))
            if slot.retained_bytes is not None:
                # A new logical slot begins where the server will write next.
                yield Sample(SLOT_RETAINED, labels, max(0.0, slot.retained_bytes))
        yield Sample(WAL_SENDERS_USED, (), snapshot.wal_senders_used)
        yield Sample(WAL_SENDERS_MAX, (), snapshot.wal_senders_max)
