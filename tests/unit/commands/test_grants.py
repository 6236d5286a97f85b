"""The SQL of the role: what a server has is left out, and no name breaks out of its quotes."""

import re
from dataclasses import replace

import pytest

from exporter.commands.grants import Wanted, name_problem, render_grants
from exporter.snapshot import Equipment, Grants, RoleGrants

ROLE = RoleGrants(
    may_login=True,
    inherits=True,
    connection_limit=8,
    monitors=True,
    uses_reserve=True,
    may_connect=True,
)
PROBE = ROLE._replace(monitors=False, uses_reserve=False)
EQUIPMENT = Equipment(
    dbname="orders",
    open_to_all=True,
    max_connections=100,
    superuser_reserved=3,
    reserved=2,
    preloaded=True,
    created=True,
    rds=False,
)
WANTED = Wanted("exporter", "probe", 18, found=Grants(18, EQUIPMENT, ROLE, PROBE))


def statements(script: str) -> list[str]:
    """Give the lines of a script that are no comments."""
    return [line for line in script.splitlines() if line and not line.startswith("--")]


def seen(equipment: Equipment = EQUIPMENT, role: RoleGrants = ROLE) -> Wanted:
    """Give a server and a role that have everything, unless others are given."""
    return replace(WANTED, found=Grants(18, equipment, role, PROBE))


def test_nothing_is_missing() -> None:
    """A server that has everything gets no statement."""
    script = render_grants(WANTED)
    assert statements(script) == []
    assert "0 are missing" in script
    assert "max_connections 100" in script


@pytest.mark.parametrize(
    ("wanted", "statement"),
    [
        (
            seen(EQUIPMENT._replace(created=False)),
            "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;",
        ),
        (
            seen(EQUIPMENT._replace(reserved=0)),
            "SELECT 'ALTER SYSTEM SET reserved_connections = 2'",
        ),
        (
            seen(role=ROLE._replace(may_connect=False)),
            'GRANT CONNECT ON DATABASE "orders" TO "exporter";',
        ),
        (
            seen(role=ROLE._replace(connection_limit=-1)),
            'ALTER ROLE "exporter" CONNECTION LIMIT 8;',
        ),
        (seen(role=ROLE._replace(connection_limit=3)), 'ALTER ROLE "exporter" CONNECTION LIMIT 8;'),
        (
            seen(role=ROLE._replace(monitors=False)),
            'GRANT pg_monitor TO "exporter" WITH INHERIT TRUE;',
        ),
        (
            seen(role=ROLE._replace(uses_reserve=False)),
            'GRANT pg_use_reserved_connections TO "exporter" WITH INHERIT TRUE;',
        ),
        (
            replace(WANTED, found=Grants(18, EQUIPMENT, ROLE, ROLE)),
            'REVOKE pg_use_reserved_connections FROM "probe";',
        ),
    ],
)
def test_one_thing_is_missing(wanted: Wanted, statement: str) -> None:
    """What is missing gets its statement, and nothing else does."""
    script = render_grants(wanted)
    assert statements(script)[0] == statement
    assert ";".join(statements(script)).count(";") <= 1
    assert "1 are missing" in script


def test_a_library_is_no_matter_of_sql() -> None:
    """A library that is not loaded is told, with what to do."""
    script = render_grants(seen(EQUIPMENT._replace(preloaded=False)))
    assert statements(script) == []
    assert "Add pg_stat_statements to shared_preload_libraries in postgresql.conf" in script


def test_a_role_that_does_not_inherit_is_mended() -> None:
    """A role which has no use of its memberships is made to inherit."""
    script = render_grants(seen(role=ROLE._replace(inherits=False)))
    assert 'ALTER ROLE "exporter" LOGIN INHERIT;' in statements(script)


def test_a_database_that_is_not_open_to_all() -> None:
    """A role that is not there yet will need the right to connect."""
    found = Grants(18, EQUIPMENT._replace(open_to_all=False), None, PROBE)
    script = render_grants(replace(WANTED, found=found))
    assert 'GRANT CONNECT ON DATABASE "orders" TO "exporter";' in statements(script)


@pytest.mark.parametrize("major", [13, 15])
def test_before_the_reserve(major: int) -> None:
    """Where no slot can be kept free for us, a spare connection is what helps."""
    script = render_grants(Wanted("exporter", major=major))
    assert "reserve" not in "".join(statements(script))
    assert "spare: true" in script
    assert "INHERIT TRUE" not in script


def test_on_rds() -> None:
    """What Amazon keeps to itself is done in the parameter group."""
    script = render_grants(Wanted("exporter", rds=True))
    assert "ALTER SYSTEM" not in script
    assert len(re.findall("parameter group", script)) == 2
    assert "master user" in script


def test_the_probe_should_have_a_role() -> None:
    """Where the exporter has a reserve, a probe as the same role would not feel exhaustion."""
    assert "--probe-role" in render_grants(Wanted("exporter", major=16))
    assert "--probe-role" not in render_grants(Wanted("exporter", "probe", major=16))


def test_no_name_breaks_out() -> None:
    """A name stays inside its quotes, or in its comment."""
    script = render_grants(
        replace(
            seen(EQUIPMENT._replace(dbname="a\nDROP DATABASE b; --", open_to_all=False)),
            role='x"; DROP ROLE y; $do$ --',
        )
    )
    assert not any(line.startswith("DROP") for line in statements(script))
    assert '"x""; DROP ROLE y; $do$ --"' in script


@pytest.mark.parametrize("name", ["", "public", "pg_x", "new\nline", "x" * 64, "ü" * 32])
def test_impossible_names(name: str) -> None:
    """A name that PostgreSQL would refuse, or cut, is told before."""
    assert name_problem(name) is not None


@pytest.mark.parametrize("name", ["x" * 63, "ü" * 31, 'quo"ted', "with space", "$do$"])
def test_possible_names(name: str) -> None:
    """Any other is fine."""
    assert name_problem(name) is None
