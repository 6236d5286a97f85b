"""Who holds the connections: exact samples of hand-written rows."""

import pytest

from exporter.collectors import Options
from exporter.collectors.connections import (
    IDLE_AGE_BOUNDS,
    ClientTotals,
    ConnectionAges,
    Connections,
    IdleAges,
    distribution,
    oldest,
)
from exporter.diagnosis.clients import Group
from exporter.exposition import Distribution
from tests.unit.rows import NOW, active, session, sighting, told

API, JOBS = Group("api", (), (), ("app",)), Group("jobs", (), (), ("jobs",))
GROUPS = (API, JOBS)

# client, client_addr, usename, application_name, datname
HOLDER = ("api", "10.0.1.7", "app", "gunicorn", "shop")


def test_connections_are_counted_by_who_holds_them() -> None:
    """Each set of labels has its count and the longest time in that state."""
    seen = sighting(
        session(1, state_change=NOW - 5),
        session(2, state_change=NOW - 50),
        active(3, state_change=NOW - 1),
        session(4, client_addr=None, client_port=-1, usename="jobs", state_change=NOW - 7),
        groups=GROUPS,
    )
    local = ("jobs", "local", "jobs", "gunicorn", "shop", "idle")
    assert told(Connections(Options()).collect(seen)) == {
        ("pgconn_connections", *HOLDER, "idle"): 2,
        ("pgconn_connections", *HOLDER, "active"): 1,
        ("pgconn_connections", *local): 1,
        ("pgconn_connection_state_age_max_seconds", *HOLDER, "idle"): 50,
        ("pgconn_connection_state_age_max_seconds", *HOLDER, "active"): 1,
        ("pgconn_connection_state_age_max_seconds", *local): 7,
    }


def test_a_state_whose_begin_is_unknown() -> None:
    """With track_activities off a connection is counted, and has no age in its state."""
    seen = sighting(session(1, state="disabled", state_change=None), groups=GROUPS)
    assert told(Connections(Options()).collect(seen)) == {
        ("pgconn_connections", *HOLDER, "disabled"): 1
    }


def test_nobody_is_connected() -> None:
    """Without connections there are no series, and no zeros."""
    seen = sighting()
    for collector in (Connections, ConnectionAges, IdleAges):
        assert told(collector(Options()).collect(seen)) == {}


def test_ages() -> None:
    """The oldest connection and transaction of each set of labels are told."""
    seen = sighting(
        session(1, backend_start=NOW - 100),
        session(2, backend_start=NOW - 900),
        active(3, backend_start=NOW - 7, xact_start=NOW - 6),
        active(4, backend_start=NOW - 5, xact_start=NOW - 4),
        session(5, state="idle in transaction", backend_start=NOW - 3, xact_start=NOW - 2),
        session(6, datname="bank", backend_start=NOW + 1),
        groups=GROUPS,
    )
    holder = ("api", "app", "gunicorn", "shop")
    assert told(ConnectionAges(Options()).collect(seen)) == {
        ("pgconn_connection_age_max_seconds", "api", "app", "shop"): 900,
        ("pgconn_connection_age_max_seconds", "api", "app", "bank"): 0,
        ("pgconn_transaction_age_max_seconds", *holder, "active"): 6,
        ("pgconn_transaction_age_max_seconds", *holder, "idle in transaction"): 2,
    }


def test_oldest() -> None:
    """The highest age counts, in any order; an unknown one does not."""
    ages = [(("a",), 1.0), (("a",), 3.0), (("a",), 2.0), (("b",), None), (("c",), 0.0)]
    assert oldest(ages) == {("a",): 3.0, ("c",): 0.0}


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (0.999, 0), (1, 0), (1.001, 1), (5, 1), (900, 5), (3600, 6), (3600.1, 7), (1e9, 7)],
)
def test_idle_buckets(seconds: float, bucket: int) -> None:
    """An upper bound belongs to its bucket, as Prometheus has it."""
    found = distribution([seconds])
    assert found == Distribution(
        (1, 5, 15, 60, 300, 900, 3600), tuple(int(n == bucket) for n in range(8)), seconds
    )
    assert found.bounds == IDLE_AGE_BOUNDS


def test_idle_ages() -> None:
    """Only connections in state idle are in the distribution, by client."""
    seen = sighting(
        session(1, state_change=NOW - 0.5),
        session(2, state_change=NOW - 20),
        session(3, state_change=NOW - 20),
        session(4, usename="jobs", state_change=NOW - 9999),
        session(5, state="idle in transaction", state_change=NOW - 20),
        session(6, state_change=None),
        active(7, state_change=NOW - 20),
        groups=GROUPS,
    )
    assert told(IdleAges(Options()).collect(seen)) == {
        ("pgconn_idle_age_seconds", "api"): Distribution(
            IDLE_AGE_BOUNDS, (1, 0, 0, 2, 0, 0, 0, 0), 40.5
        ),
        ("pgconn_idle_age_seconds", "jobs"): Distribution(
            IDLE_AGE_BOUNDS, (0, 0, 0, 0, 0, 0, 0, 1), 9999
        ),
    }


def totals(*clients: str, **sizes: int) -> dict[tuple[str, ...], float | Distribution]:
    """Give what is told of some clients that are connected, one idle session each."""
    seen = sighting(*(session(pid, usename=name) for pid, name in enumerate(clients)))
    return told(ClientTotals(Options(pool_sizes=sizes)).collect(seen))


def test_client_totals() -> None:
    """Each client has all of its connections, and those that work for somebody."""
    states = [
        "idle",
        "disabled",
        "active",
        "idle in transaction",
        "idle in transaction (aborted)",
        "fastpath function call",
        "starting",
    ]
    rows = [session(pid, state=state) for pid, state in enumerate(states, 10)]
    seen = sighting(*rows, session(1, usename="ops"), session(2, state=None), groups=GROUPS)
    assert told(ClientTotals(Options(GROUPS, {"api": 200, "jobs": 5})).collect(seen)) == {
        ("pgconn_client_connections", "api"): 8,
        ("pgconn_client_connections", "jobs"): 0,
        ("pgconn_client_connections", "other"): 1,
        ("pgconn_client_busy_connections", "api"): 4,
        ("pgconn_client_busy_connections", "jobs"): 0,
        ("pgconn_client_busy_connections", "other"): 0,
        ("pgconn_client_pool_size", "api"): 200,
        ("pgconn_client_pool_size", "jobs"): 5,
        ("pgconn_connections_peak", "api"): 8,
        ("pgconn_connections_peak", "jobs"): 0,
        ("pgconn_connections_peak", "other"): 1,
    }


def test_only_what_is_configured_has_a_pool_size() -> None:
    """A client without pool_size has no such series."""
    assert ("pgconn_client_pool_size", "other") not in totals("app")
    assert totals("app", api=3)["pgconn_client_pool_size", "api"] == 3


def test_peaks_of_clients() -> None:
    """A peak outlasts the connections by the window; who is not configured then vanishes."""
    collector = ClientTotals(Options(GROUPS, peak_window=60))

    def peaks(at: float, *usenames: str) -> dict[str, float | Distribution]:
        rows = [session(pid, usename=name) for pid, name in enumerate(usenames)]
        found = told(collector.collect(sighting(*rows, now=NOW + at, groups=GROUPS)))
        return {key[1]: value for key, value in found.items() if key[0].endswith("_peak")}

    assert peaks(0, "app", "app", "ops", "ops", "ops") == {"api": 2, "jobs": 0, "other": 3}
    assert peaks(30, "app", "jobs") == {"api": 2, "jobs": 1, "other": 3}
    assert peaks(59) == {"api": 2, "jobs": 1, "other": 3}
    assert peaks(60) == {"api": 1, "jobs": 1}
    assert peaks(90) == {"api": 0, "jobs": 0}
    assert peaks(91, "ops") == {"api": 0, "jobs": 0, "other": 1}
