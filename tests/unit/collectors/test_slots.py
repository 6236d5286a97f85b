"""The slots of a server, who takes them, and what the server is."""

from dataclasses import replace

import pytest

from exporter.collectors import Options
from exporter.collectors.server import Server
from exporter.collectors.slots import ConnectionLimits, SlotsConfigured, SlotsUsed
from exporter.snapshot import Configuration, Databases, Limit, Settings
from tests.unit.rows import NOW, session, sighting, told

POSTGRESQL_18 = Settings("18.6", False, NOW - 60.5, 100, 3, 2, None)  # noqa: FBT003 - a row


@pytest.mark.parametrize(
    ("settings", "reserved", "usable"),
    [
        (
            POSTGRESQL_18,
            {"superuser": 3, "pg_use_reserved_connections": 2},
            95,
        ),
        (
            POSTGRESQL_18._replace(reserved=0),
            {"superuser": 3, "pg_use_reserved_connections": 0},
            97,
        ),
        (POSTGRESQL_18._replace(version="13.23", reserved=None), {"superuser": 3}, 97),
        (
            POSTGRESQL_18._replace(max_connections=5000, reserved=None, rds_superuser_reserved=2),
            {"superuser": 3, "rds_superuser": 2},
            4995,
        ),
        (
            POSTGRESQL_18._replace(rds_superuser_reserved=2),
            {"superuser": 3, "pg_use_reserved_connections": 2, "rds_superuser": 2},
            93,
        ),
    ],
    ids=["18", "18 without reserve", "13", "RDS 13", "RDS 16"],
)
def test_slots(settings: Settings, reserved: dict[str, int], usable: int) -> None:
    """What is usable is what is left of max_connections when all reserves that exist are taken."""
    assert told(SlotsConfigured(Options()).collect(Configuration(settings, ()))) == {
        ("pgconn_slots_max",): settings.max_connections,
        ("pgconn_slots_usable",): usable,
    } | {("pgconn_slots_reserved", role): slots for role, slots in reserved.items()}


def test_server() -> None:
    """The version and the role of a server are labels of one series."""
    assert told(Server(Options()).collect(Configuration(POSTGRESQL_18, ()))) == {
        ("pgconn_server_info", "18.6", "false"): 1,
        ("pgconn_postmaster_start_time_seconds",): NOW - 60.5,
    }
    standby = told(
        Server(Options()).collect(Configuration(POSTGRESQL_18._replace(in_recovery=True), ()))
    )
    assert standby["pgconn_server_info", "18.6", "true"] == 1


def test_slots_used() -> None:
    """Every client backend takes a slot, of who is still logging in and of ours, too."""
    seen = sighting(
        session(1),
        session(2, usename="ops", datname="bank"),
        session(3, application_name="pgconn-exporter"),
        session(4, state="starting", usename=None, datname=None),
        session(5, backend_type="walsender", datname=None),
        session(6, backend_type="parallel worker"),
        session(7, backend_type="checkpointer", usename=None, datname=None),
    )
    assert told(SlotsUsed(Options()).collect(seen)) == {
        ("pgconn_slots_used",): 4,
        ("pgconn_slots_used_peak",): 4,
        ("pgconn_database_connections", "shop"): 2,
        ("pgconn_database_connections", "bank"): 1,
        ("pgconn_database_connections", ""): 1,
        ("pgconn_role_connections", "app"): 2,
        ("pgconn_role_connections", "ops"): 1,
        ("pgconn_role_connections", ""): 1,
    }


def test_by_database_and_role_whatever_the_labels() -> None:
    """Labels that are dropped from the connections are not dropped from what they are about."""
    seen = sighting(session(1), session(2, usename="ops"))
    bare = [c._replace(usename="", datname="") for c in seen.connections]
    found = told(SlotsUsed(Options()).collect(replace(seen, connections=tuple(bare))))
    assert found["pgconn_role_connections", "ops"] == 1
    assert found["pgconn_database_connections", "shop"] == 2


def test_peak_of_slots() -> None:
    """A burst between two scrapes is seen for the length of the window."""
    collector = SlotsUsed(Options(peak_window=30))

    def peak(at: float, connections: int) -> tuple[object, object]:
        found = told(collector.collect(sighting(*[session()] * connections, now=NOW + at)))
        return found["pgconn_slots_used",], found["pgconn_slots_used_peak",]

    assert peak(0, 2) == (2, 2)
    assert peak(1, 90) == (90, 90)
    assert peak(2, 3) == (3, 90)
    assert peak(30, 0) == (0, 90)
    assert peak(31, 1) == (1, 3)


def test_limits() -> None:
    """Limits are told where they are set, of zero too: then nobody may connect."""
    limits = Databases((Limit("database", "shop", 50), Limit("role", "shop", 0)), ())
    assert told(ConnectionLimits(Options()).collect(limits)) == {
        ("pgconn_database_connection_limit", "shop"): 50,
        ("pgconn_role_connection_limit", "shop"): 0,
    }
    assert told(ConnectionLimits(Options()).collect(Databases((), ()))) == {}
