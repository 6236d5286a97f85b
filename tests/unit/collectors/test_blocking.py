"""Who is blocked, and which queries are slow: victims apart from culprits."""

from exporter.collectors import Options
from exporter.collectors.blocking import Blocking
from exporter.collectors.queries import Queries
from exporter.diagnosis.clients import Group
from tests.unit.rows import NOW, active, session, sighting, told, waiting

GROUPS = (Group("api", (), (), ("app",)),)
API = ("api", "app", "gunicorn", "shop")
OPS = ("other", "ops", "psql", "shop")

HOLDER = session(1, usename="ops", application_name="psql", state="idle in transaction")
VICTIMS = (
    waiting(2, query_start=NOW - 9, wait_start=NOW - 8),
    waiting(3, query_start=NOW - 4, wait_start=NOW - 3),
    waiting(4, usename="ops", application_name="psql", query_start=NOW - 2, wait_start=NOW - 1),
)


def test_blocked_connections() -> None:
    """Who waits is counted with the longest wait; the holder is not."""
    seen = sighting(HOLDER, *VICTIMS, active(5), groups=GROUPS)
    assert told(Blocking(Options()).collect(seen)) == {
        ("pgconn_blocked_connections", *API): 2,
        ("pgconn_blocked_connections", *OPS): 1,
        ("pgconn_lock_wait_max_seconds", *API): 8,
        ("pgconn_lock_wait_max_seconds", *OPS): 1,
    }


def test_nobody_is_blocked() -> None:
    """Without waits there are no series."""
    assert told(Blocking(Options()).collect(sighting(HOLDER, active(2)))) == {}


def test_only_connections_are_counted() -> None:
    """An autovacuum worker that waits is no client; a parallel worker stands for its leader."""
    leader = active(1, wait_event_type="IPC", wait_event="ExecuteGather")
    workers = [
        waiting(pid, backend_type="parallel worker", leader_pid=1, wait_start=NOW - pid)
        for pid in (2, 3)
    ]
    vacuum = waiting(9, backend_type="autovacuum worker", wait_start=NOW - 99)
    seen = sighting(leader, *workers, vacuum, groups=GROUPS)
    assert told(Blocking(Options()).collect(seen)) == {
        ("pgconn_blocked_connections", *API): 1,
        ("pgconn_lock_wait_max_seconds", *API): 3,
    }


def test_victims_and_culprits() -> None:
    """A blocked query is apart from one that is slow by itself; only active ones run."""
    seen = sighting(
        HOLDER,
        *VICTIMS,
        active(5, query_start=NOW - 7),
        active(6, usename="jobs", state="fastpath function call", query_start=NOW - 1),
        session(7, query_start=NOW - 999),
        active(8, query_start=None),
        groups=GROUPS,
    )
    assert told(Queries(Options(slow_query_after=3)).collect(seen)) == {
        ("pgconn_query_age_max_seconds", *API, "true"): 9,
        ("pgconn_query_age_max_seconds", *API, "false"): 7,
        ("pgconn_query_age_max_seconds", *OPS, "true"): 2,
        ("pgconn_query_age_max_seconds", "other", "jobs", "gunicorn", "shop", "false"): 1,
        ("pgconn_slow_queries", *API, "true"): 2,
        ("pgconn_slow_queries", *API, "false"): 1,
    }


def test_slow_begins_above_the_limit() -> None:
    """A query that has run for exactly the limit is not slow yet."""
    rows = [active(pid, query_start=NOW - seconds) for pid, seconds in ((1, 5), (2, 5.5))]
    found = told(Queries(Options(slow_query_after=5)).collect(sighting(*rows, groups=GROUPS)))
    assert found["pgconn_slow_queries", *API, "false"] == 1


def test_a_parallel_query_whose_worker_waits_is_a_victim() -> None:
    """The leader's own row says that it waits for its workers."""
    leader = active(1, wait_event_type="IPC", wait_event="ExecuteGather", query_start=NOW - 6)
    worker = waiting(2, backend_type="parallel worker", leader_pid=1, wait_start=NOW - 2)
    found = told(Queries(Options()).collect(sighting(leader, worker, groups=GROUPS)))
    assert found == {
        ("pgconn_query_age_max_seconds", *API, "true"): 6,
        ("pgconn_slow_queries", *API, "true"): 1,
    }
