"""Who is blocked, and which queries are slow: victims apart from culprits."""

from exporter.collectors import Options
from exporter.collectors.blocking import Blocking
from exporter.collectors.queries import Queries
from exporter.diagnosis.clients import Group
from exporter.snapshot import PreparedLock
from tests.unit.rows import NOW, active, session, sighting, told, waiting

GROUPS = (Group("api", (), (), ("app",)),)
API = ("api", "app", "gunicorn", "shop")
OPS = ("other", "ops", "psql", "shop")

HOLDER = session(
    1,
    usename="ops",
    application_name="psql",
    state="idle in transaction",
    xact_start=NOW - 30,
)
ROOT = ("other", "10.0.1.7", "ops", "psql", "shop", "idle in transaction")
VICTIMS = (
    waiting(2, query_start=NOW - 9, wait_start=NOW - 8, blockers=[1]),
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
        ("pgconn_root_blockers", *ROOT): 1,
        ("pgconn_root_blocker_victims", *ROOT): 3,
        ("pgconn_root_blocker_age_max_seconds", *ROOT): 30,
        ("pgconn_blocking_depth_max",): 1,
    }


def test_nobody_is_blocked() -> None:
    """Without waits there are no series of anybody."""
    seen = sighting(HOLDER, active(2))
    assert told(Blocking(Options()).collect(seen)) == {("pgconn_blocking_depth_max",): 0}


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
        ("pgconn_blocking_depth_max",): 1,
    }


def test_roots_of_one_kind_are_one_series() -> None:
    """Their victims add up, and the oldest transaction counts; a lock of the session has none."""
    rows = (
        session(1, xact_start=NOW - 5),
        session(2, xact_start=NOW - 7),
        session(3, application_name="cron", xact_start=None),
        *(waiting(10 + pid, lock_wait=f"lock {pid}", blockers=[pid]) for pid in (1, 2, 3)),
        waiting(20, lock_wait="lock 1"),
    )
    found = told(Blocking(Options()).collect(sighting(*rows, groups=GROUPS)))
    api = ("api", "10.0.1.7", "app", "gunicorn", "shop", "idle")
    cron = ("api", "10.0.1.7", "app", "cron", "shop", "idle")
    assert found["pgconn_root_blockers", *api] == 2
    assert found["pgconn_root_blocker_victims", *api] == 3
    assert found["pgconn_root_blocker_age_max_seconds", *api] == 7
    assert found["pgconn_root_blockers", *cron] == 1
    assert ("pgconn_root_blocker_age_max_seconds", *cron) not in found


def test_a_process_of_the_server_is_named_by_what_it_is() -> None:
    """It has no client; neither has a prepared transaction, which has an owner."""
    vacuum = active(
        1,
        backend_type="autovacuum worker",
        usename=None,
        application_name="",
        client_addr=None,
        client_port=None,
        xact_start=NOW - 3,
    )
    first = waiting(2, lock_wait="table", lock_mode="ShareLock", blockers=[1])
    second = waiting(3, lock_wait="xid", lock_mode="ShareLock", blockers=[0])
    prepared = PreparedLock("xid", "ExclusiveLock", "730", "app", "shop", NOW - 90)
    seen = sighting(vacuum, first, second, groups=GROUPS, prepared=(prepared,))
    found = told(Blocking(Options()).collect(seen))
    assert found["pgconn_root_blockers", "autovacuum worker", "", "", "", "shop", "active"] == 1
    left = ("prepared transaction", "", "app", "", "shop", "prepared")
    assert found["pgconn_root_blocker_age_max_seconds", *left] == 90


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
