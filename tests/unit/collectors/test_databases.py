"""How sessions ended: the server's own counters, those that it has."""

from exporter.collectors import Options
from exporter.collectors.databases import DatabaseSessions
from exporter.snapshot import DatabaseRow, Databases
from tests.unit.rows import told

SHOP = DatabaseRow("shop", 1, 20, 300.5, 40.25, 5.0, 6, 7, 8)


def counters(*rows: DatabaseRow) -> dict[tuple[str, ...], object]:
    """Give what the collector makes of databases."""
    return dict(told(DatabaseSessions(Options()).collect(Databases((), rows))))


def test_every_counter() -> None:
    """Each column has its metric, reason or state."""
    assert counters(SHOP) == {
        ("pgconn_database_deadlocks_total", "shop"): 1,
        ("pgconn_database_sessions_total", "shop"): 20,
        ("pgconn_database_sessions_ended_total", "shop", "abandoned"): 6,
        ("pgconn_database_sessions_ended_total", "shop", "fatal"): 7,
        ("pgconn_database_sessions_ended_total", "shop", "killed"): 8,
        ("pgconn_database_session_seconds_total", "shop", "all"): 300.5,
        ("pgconn_database_session_seconds_total", "shop", "active"): 40.25,
        ("pgconn_database_session_seconds_total", "shop", "idle in transaction"): 5.0,
    }


def test_what_13_does_not_count_is_absent() -> None:
    """PostgreSQL 13 has deadlocks alone: not a zero stands for the rest."""
    row = DatabaseRow("shop", 3, None, None, None, None, None, None, None)
    assert counters(row) == {("pgconn_database_deadlocks_total", "shop"): 3}


def test_zero_is_told() -> None:
    """A database in which nothing has happened yet has its counters: they can be seen to rise."""
    quiet = DatabaseRow("quiet", 0, 0, 0.0, 0.0, 0.0, 0, 0, 0)
    found = counters(SHOP, quiet)
    assert len(found) == 16
    assert {value for labels, value in found.items() if labels[1] == "quiet"} == {0}


def test_a_reset_is_passed_on() -> None:
    """The server begins anew after a crash or a reset, and so do we: rate() expects that."""
    collector = DatabaseSessions(Options())
    list(collector.collect(Databases((), (SHOP,))))
    found = told(collector.collect(Databases((), (SHOP._replace(deadlocks=0, killed=1),))))
    assert found["pgconn_database_deadlocks_total", "shop"] == 0
    assert found["pgconn_database_sessions_ended_total", "shop", "killed"] == 1
