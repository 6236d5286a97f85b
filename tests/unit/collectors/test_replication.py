"""Replication slots, and WAL senders."""

from exporter.collectors import Options
from exporter.collectors.replication import ReplicationSlots
from exporter.snapshot import Replication, ReplicationSlot
from tests.unit.rows import told


def seen(*slots: ReplicationSlot, used: int = 0, most: int = 10) -> dict[tuple[str, ...], object]:
    """Give what the collector makes of slots."""
    snapshot = Replication(slots, used, most)
    return dict(told(ReplicationSlots(Options()).collect(snapshot)))


def test_slots() -> None:
    """Each slot tells whether it is consumed, and how much it holds back."""
    found = seen(
        ReplicationSlot("standby", "physical", True, 0.0),  # noqa: FBT003 - a row
        ReplicationSlot("forgotten", "logical", False, 2.0**41),  # noqa: FBT003 - a row
        used=1,
    )
    assert found == {
        ("pgconn_replication_slot_active", "standby", "physical"): 1,
        ("pgconn_replication_slot_retained_bytes", "standby", "physical"): 0.0,
        ("pgconn_replication_slot_active", "forgotten", "logical"): 0,
        ("pgconn_replication_slot_retained_bytes", "forgotten", "logical"): 2.0**41,
        ("pgconn_wal_senders_used",): 1,
        ("pgconn_wal_senders_max",): 10,
    }


def test_a_slot_that_holds_nothing() -> None:
    """A slot that is lost, or has not begun, has no retained bytes: zero would look healthy."""
    found = seen(ReplicationSlot("lost", "physical", False, None))  # noqa: FBT003 - a row
    assert found["pgconn_replication_slot_active", "lost", "physical"] == 0
    assert ("pgconn_replication_slot_retained_bytes", "lost", "physical") not in found


def test_a_slot_that_is_ahead() -> None:
    """A new logical slot may begin after the last WAL that was written: it retains none."""
    found = seen(ReplicationSlot("new", "logical", False, -56.0))  # noqa: FBT003 - a row
    assert found["pgconn_replication_slot_retained_bytes", "new", "logical"] == 0


def test_no_replication() -> None:
    """A server without replication says so: it has no WAL senders, and no slots."""
    assert seen(most=0) == {("pgconn_wal_senders_used",): 0, ("pgconn_wal_senders_max",): 0}
