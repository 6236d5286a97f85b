"""What is seen of a snapshot: connections alone, and who waits for how long."""

import pytest

from exporter.diagnosis.clients import Clients, Group
from exporter.diagnosis.sightings import Observer, age, waits
from tests.unit.rows import LABELS, NOW, active, activity, session, sighting, waiting

OTHER_BACKENDS = [
    "autovacuum launcher",
    "autovacuum worker",
    "background writer",
    "checkpointer",
    "io worker",
    "logical replication worker",
    "parallel worker",
    "startup",
    "walsender",
    "walwriter",
    None,
]


@pytest.mark.parametrize("backend_type", OTHER_BACKENDS)
def test_only_client_backends_are_connections(backend_type: str | None) -> None:
    """Everything else takes no slot and is not counted."""
    seen = sighting(session(1), session(2, backend_type=backend_type))
    assert [c.session.pid for c in seen.connections] == [1]


def test_labels_of_a_connection() -> None:
    """The labels are the columns, and where the connection comes from."""
    tcp, socket = sighting(
        session(1), session(2, client_addr=None, client_port=-1), groups=[Group("api")]
    ).connections
    assert tcp[1:] == ("api", "10.0.1.7", "app", "gunicorn", "shop", "idle")
    assert socket.client_addr == "local"


def test_unknown_columns_are_empty_labels() -> None:
    """No label is ever None."""
    null = session(
        usename=None,
        datname=None,
        application_name=None,
        state=None,
        client_addr=None,
        client_port=None,
    )
    [seen] = sighting(null).connections
    assert seen[1:] == ("other", "", "", "", "", "")


@pytest.mark.parametrize("dropped", LABELS)
def test_labels_that_are_not_wanted(dropped: str) -> None:
    """A dropped label is empty, and clients are told apart by it all the same."""
    group = Group("api", (), ("gunicorn",), ("app",))
    observer = Observer(Clients([group]), [label for label in LABELS if label != dropped])
    [seen] = observer.observe(activity(session())).connections
    assert seen.client == "api"
    assert [label for label in LABELS if not getattr(seen, label)] == [dropped]


def test_own_connection_is_told_by_its_pid() -> None:
    """The snapshot knows which connection is ours."""
    observer = Observer(Clients([Group("api")]), LABELS)
    seen = observer.observe(activity(session(7), session(8), own_pid=8))
    assert [c.client for c in seen.connections] == ["api", "pgconn-exporter"]


@pytest.mark.parametrize(
    ("since", "seconds"), [(None, None), (NOW - 2.5, 2.5), (NOW, 0), (NOW + 1, 0)]
)
def test_ages(since: float | None, seconds: float | None) -> None:
    """An age is never negative, and unknown where the time is."""
    assert age(since, NOW) == seconds


def test_clock() -> None:
    """The time of a sighting is the server's at the end of its read."""
    assert sighting(session(), now=NOW + 5).now == NOW + 5


def test_waiting_for_a_lock() -> None:
    """The wait counts from when it began, not from when its query did."""
    rows = [
        waiting(1, wait_start=NOW - 3.5, query_start=NOW - 60),
        waiting(2, wait_start=NOW + 1),
        active(3, wait_event_type="LWLock", wait_event="WALWrite"),
        session(4),
        active(5),
    ]
    assert waits(activity(*rows)) == {1: 3.5, 2: 0.0}


def test_waiting_since_nobody_knows_when() -> None:
    """Before 14 the age of the query is the upper bound; without one the wait is still told."""
    rows = [waiting(1, query_start=NOW - 60), waiting(2, query_start=None)]
    assert waits(activity(*rows)) == {1: 60.0, 2: 0.0}


def test_waiting_for_a_safe_snapshot() -> None:
    """A deferrable transaction waits for others without any lock."""
    row = active(1, wait_event_type="IPC", wait_event="SafeSnapshot", query_start=NOW - 4)
    assert waits(activity(row)) == {1: 4.0}


def test_a_parallel_query_waits_when_a_worker_does() -> None:
    """The leader is blocked for as long as the worker that waits longest."""
    leader = active(1, wait_event_type="IPC", wait_event="ExecuteGather", query_start=NOW - 60)
    workers = [
        waiting(pid, backend_type="parallel worker", leader_pid=1, wait_start=NOW - seconds)
        for pid, seconds in ((2, 1.0), (3, 5.0), (4, 2.0))
    ]
    assert waits(activity(leader, *workers)) == {1: 5.0}
    assert waits(activity(*workers, leader)) == {1: 5.0}


def test_hidden_sessions_are_noticed() -> None:
    """Without pg_monitor other roles' rows have neither type nor start."""
    hidden = session(2, backend_type=None, backend_start=None, state=None)
    assert activity(session(1), hidden).limited
    assert not activity(session(1)).limited


def test_a_worker_that_has_ended_hides_nothing() -> None:
    """A parallel worker that ends while it is read has no type any more, but it has a start."""
    # Seen twice in 20,000 polls of PostgreSQL 18 with two parallel queries at a time.
    ended = active(2, backend_type=None)
    assert not activity(session(1), ended).limited


def test_cost_of_a_read() -> None:
    """The server's own clock says how long it worked."""
    snapshot = activity(session(1), session(2))
    assert snapshot.server_seconds == 0.25
