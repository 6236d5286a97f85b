"""Who blocks whom: the roots of all waits, on hand-written rows."""

import pytest

from exporter.diagnosis.blocking import Root, WaitGraph, wait_graph
from exporter.snapshot import Activity, PreparedLock, PreparedTransaction, Session
from tests.unit.rows import NOW, active, activity, session, waiting

IDLE_IN_TRANSACTION = "idle in transaction"
NOBODY = WaitGraph((), 0)


def holder(pid: int) -> Session:
    """Make a session that holds what others want."""
    return session(pid, state=IDLE_IN_TRANSACTION, xact_start=NOW - 60)


def waits_for(pid: int, lock: str, *blockers: int, mode: str = "ShareLock") -> Session:
    """Make the first waiter of a queue, which was asked for its blockers."""
    return waiting(pid, lock_wait=lock, lock_mode=mode, blockers=list(blockers))


def queues_for(pid: int, lock: str, mode: str = "ShareLock") -> Session:
    """Make a further waiter of a queue, which was not asked."""
    return waiting(pid, lock_wait=lock, lock_mode=mode)


def prepared(lock: str, mode: str, transaction: str = "730") -> PreparedLock:
    """Make a lock of a prepared transaction."""
    return PreparedLock(lock, mode, transaction, "app", "shop", NOW - 90)


def graph(*sessions: Session, locks: tuple[PreparedLock, ...] = ()) -> WaitGraph:
    """Give the graph of a snapshot, its roots sorted by pid."""
    snapshot = activity(*sessions)
    return wait_graph(Activity(snapshot.sessions, snapshot.own_pid, locks))


def test_nobody_waits() -> None:
    """Who holds a lock that nobody wants blocks nobody."""
    assert graph(holder(1), active(2), session(3)) == NOBODY


def test_a_pile_up() -> None:
    """A row's queue: the first waits for the transaction, the others for the row behind it."""
    crowd = [queues_for(pid, "row", "ExclusiveLock") for pid in range(4, 102)]
    seen = graph(
        holder(1), waits_for(2, "xid", 1), waits_for(3, "row", 2, mode="ExclusiveLock"), *crowd
    )
    assert seen == WaitGraph((Root(1, 100),), 2)


def test_a_chain() -> None:
    """Who waits is no root, though it blocks others."""
    chain = [waits_for(pid, f"lock {pid}", pid - 1) for pid in range(2, 6)]
    assert graph(holder(1), *chain) == WaitGraph((Root(1, 4),), 4)


def test_a_chain_longer_than_any_stack() -> None:
    """A thousand links are no trouble, in whatever order the rows come."""
    chain = [waits_for(pid, f"lock {pid}", pid - 1) for pid in range(2, 3002)]
    assert graph(*reversed(chain), holder(1)) == WaitGraph((Root(1, 3000),), 3000)


def test_readers_behind_an_alter_behind_a_reader() -> None:
    """The same lock in another mode is another queue: the first reader is the root of it all."""
    alter = waits_for(2, "table", 1, mode="AccessExclusiveLock")
    first = waits_for(3, "table", 2, mode="AccessShareLock")
    others = [queues_for(pid, "table", "AccessShareLock") for pid in (4, 5)]
    assert graph(holder(1), alter, first, *others) == WaitGraph((Root(1, 4),), 2)


def test_queues_that_wait_for_each_other() -> None:
    """Two queues of one lock, each asked in the middle of the other, are no deadlock."""
    first = waits_for(2, "table", 1, 3, mode="AccessExclusiveLock")  # asked for the last of them
    reader = waits_for(3, "table", 2, mode="AccessShareLock")
    assert graph(holder(1), first, reader) == WaitGraph((Root(1, 2),), 2)


def test_two_roots() -> None:
    """Each has its own victims, and both have the one that waits for both."""
    seen = graph(
        holder(1),
        holder(2),
        waits_for(3, "a", 1),
        waits_for(4, "b", 2),
        waits_for(5, "c", 1, 2),
        waits_for(6, "d", 5),
    )
    assert set(seen.roots) == {Root(1, 3), Root(2, 3)}
    assert seen.depth == 2


def test_a_deadlock_that_is_not_resolved_yet() -> None:
    """A circle has no root; neither has who waits behind it."""
    circle = (waits_for(1, "a", 2), waits_for(2, "b", 1))
    assert graph(*circle).roots == ()
    seen = graph(*circle, waits_for(3, "c", 2))
    assert seen.roots == ()
    assert seen.depth >= 2


def test_a_deadlock_behind_somebody() -> None:
    """Who also waits for a session outside of the circle has that one as its root."""
    seen = graph(holder(9), waits_for(1, "a", 2, 9), waits_for(2, "b", 1))
    assert seen.roots == (Root(9, 2),)


def test_nobody_waits_for_himself() -> None:
    """Those ahead in the same queue are no blockers from outside of it."""
    seen = graph(holder(1), waits_for(3, "row", 1, 2), queues_for(2, "row"))
    assert seen == WaitGraph((Root(1, 2),), 1)


@pytest.mark.parametrize("blockers", [[], None])
def test_an_unknown_blocker(blockers: list[int] | None) -> None:
    """A startup process waits for nobody that PostgreSQL names; a lock may be granted meanwhile."""
    startup = waiting(1, backend_type="startup", lock_wait="table", blockers=blockers)
    assert graph(startup, holder(2)) == WaitGraph((), 1)


def test_a_standby_whose_startup_process_blocks() -> None:
    """A process of the server can be the root."""
    startup = session(1, backend_type="startup", state=None)
    assert graph(startup, waits_for(2, "table", 1)) == WaitGraph((Root(1, 1),), 1)


def test_a_parallel_query_waits() -> None:
    """Workers wait for their leader, who is one victim; who blocks both is named once."""
    leader = active(2, wait_event_type="IPC", wait_event="ExecuteGather")
    workers = [
        waiting(
            pid,
            backend_type="parallel worker",
            leader_pid=2,
            lock_wait="advisory",
            blockers=[1, 1] if pid == 3 else None,
        )
        for pid in (3, 4)
    ]
    assert graph(holder(1), leader, *workers) == WaitGraph((Root(1, 1),), 1)
    behind = waits_for(5, "table", 2, 2, 2)
    assert graph(holder(1), leader, *workers, behind) == WaitGraph((Root(1, 2),), 2)


def test_a_parallel_query_blocks() -> None:
    """Its pid is given once for each of its processes; it is one root."""
    assert graph(active(1), waits_for(2, "table", 1, 1, 1)) == WaitGraph((Root(1, 1),), 1)


def test_a_safe_snapshot() -> None:
    """Who waits for no lock but for a transaction has that one as its blocker."""
    deferrable = active(2, wait_event_type="IPC", wait_event="SafeSnapshot", blockers=[1])
    assert graph(holder(1), deferrable) == WaitGraph((Root(1, 1),), 1)


def test_a_prepared_transaction() -> None:
    """It has no pid; it is the one that holds the lock in a mode that is in the way."""
    locks = (
        prepared("xid", "ExclusiveLock"),
        prepared("other", "ExclusiveLock", "731"),
        prepared("xid", "AccessShareLock", "732"),
    )
    seen = graph(waits_for(1, "xid", 0), waits_for(2, "row", 1), locks=locks)
    assert seen == WaitGraph((Root(PreparedTransaction("730", "app", "shop", NOW - 90), 2),), 2)


def test_a_prepared_transaction_with_several_locks() -> None:
    """It is one root, however many of its locks are waited for."""
    locks = (prepared("a", "ExclusiveLock"), prepared("b", "AccessExclusiveLock"))
    seen = graph(waits_for(1, "a", 0), waits_for(2, "b", 0), locks=locks)
    assert [root.victims for root in seen.roots] == [2]


def test_a_prepared_transaction_that_is_unknown() -> None:
    """Committed while we looked: there is a waiter and no root."""
    assert graph(waits_for(1, "xid", 0)) == WaitGraph((), 1)


@pytest.mark.parametrize(
    ("wanted", "held", "blocks"),
    [
        ("AccessShareLock", "AccessExclusiveLock", True),
        ("AccessShareLock", "ExclusiveLock", False),
        ("RowShareLock", "ExclusiveLock", True),
        ("RowExclusiveLock", "RowExclusiveLock", False),
        ("RowExclusiveLock", "ShareLock", True),
        ("ShareUpdateExclusiveLock", "ShareUpdateExclusiveLock", True),
        ("ShareLock", "ShareLock", False),
        ("ShareLock", "RowExclusiveLock", True),
        ("ShareRowExclusiveLock", "ShareLock", True),
        ("ExclusiveLock", "RowShareLock", True),
        ("ExclusiveLock", "AccessShareLock", False),
        ("AccessExclusiveLock", "AccessShareLock", True),
    ],
)
def test_modes_that_conflict(wanted: str, held: str, *, blocks: bool) -> None:
    """As PostgreSQL's documentation has them."""
    seen = graph(waits_for(1, "table", 0, mode=wanted), locks=(prepared("table", held),))
    assert bool(seen.roots) == blocks
