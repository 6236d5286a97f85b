"""The places that a connection string leads to, by libpq's rules."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.server.errors import RefusedError
from exporter.server.places import Destination, Place, attempts, destination, split_places

SERVICES = """
[one]
host=db.internal
port=5433

[several]
host=a,b
port=1,2
target_session_attrs=prefer-standby
load_balance_hosts=random
"""


@pytest.fixture(autouse=True)
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a service file, and none of libpq's other variables."""
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGTARGETSESSIONATTRS"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pg_service.conf"
    file.write_text(SERVICES)
    monkeypatch.setenv("PGSERVICEFILE", str(file))


@pytest.mark.parametrize(
    ("conninfo", "environ", "places"),
    [
        ("postgresql://", {}, [("", "", "5432")]),
        ("host=db port=7", {}, [("db", "", "7")]),
        ("postgresql://a:1,[::1]/x", {}, [("a", "", "1"), ("::1", "", "")]),
        ("host=a,b", {}, [("a", "", "5432"), ("b", "", "5432")]),
        ("host=a,b hostaddr=10.0.0.1,", {}, [("a", "10.0.0.1", "5432"), ("b", "", "5432")]),
        ("hostaddr=10.0.0.1,10.0.0.2 port=1,2", {}, [("", "10.0.0.1", "1"), ("", "10.0.0.2", "2")]),
        ("host=,b", {}, [("", "", "5432"), ("b", "", "5432")]),
        ("dbname=x", {"PGHOST": "e", "PGPORT": "9"}, [("e", "", "9")]),
        ("host=db", {"PGHOST": "e", "PGHOSTADDR": "10.0.0.9"}, [("db", "10.0.0.9", "5432")]),
        ("service=one", {}, [("db.internal", "", "5433")]),
        ("service=one", {"PGHOST": "e", "PGPORT": "9"}, [("db.internal", "", "5433")]),
        ("service=one host=mine", {}, [("mine", "", "5433")]),
        ("dbname=x", {"PGSERVICE": "several"}, [("a", "", "1"), ("b", "", "2")]),
    ],
)
def test_destination(
    conninfo: str,
    environ: Mapping[str, str],
    places: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The string goes before the service file, and that before the environment."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert list(destination(conninfo).places) == places


def test_which_place_is_wanted() -> None:
    """What a service file says of that counts as well."""
    wanted = destination("service=several")
    assert (wanted.target_session_attrs, wanted.load_balance_hosts) == ("prefer-standby", "random")
    wanted = destination("service=several target_session_attrs=primary")
    assert wanted.target_session_attrs == "primary"


@pytest.mark.parametrize(
    ("host", "hostaddr", "port"),
    [
        ("a,b", "10.0.0.1", "1"),
        ("a", "10.0.0.1,10.0.0.2", "1"),
        ("a,b", "", "1,2,3"),
        ("a", "", ","),
    ],
)
def test_lists_that_do_not_fit(host: str, hostaddr: str, port: str) -> None:
    """Lists of different lengths lead nowhere, in libpq as well."""
    with pytest.raises(RefusedError, match="different numbers of places"):
        split_places(host, hostaddr, port)


@pytest.mark.parametrize(
    ("host", "hostaddr", "name"),
    [
        ("db.internal", "", "db.internal"),
        ("localhost", "", "localhost"),
        ("127.1", "", "127.1"),
        ("10.0.0.1", "", None),
        ("::1", "", None),
        ("fe80::1%eth0", "", None),
        ("/run/postgresql", "", None),
        ("", "", None),
        ("db.internal", "10.0.0.1", None),
    ],
)
def test_what_is_looked_up(host: str, hostaddr: str, name: str | None) -> None:
    """Names are looked up; addresses, sockets and what has an address already are not."""
    assert Place(host, hostaddr, "5432").name == name


def test_names() -> None:
    """A name that is listed twice is looked up once."""
    assert Destination(split_places("a,/run,b,a", "", "1"), "any", "disable").names == ("a", "b")


def test_attempts() -> None:
    """Each address of each place is tried, in order; a name without one is left out."""
    wanted = Destination(
        split_places("a,gone,10.0.0.3,/run,c", ",,,,10.0.0.4", "1,2,3,4,5"), "any", "disable"
    )
    found = attempts(wanted, {"a": ("10.0.0.1", "::1"), "gone": ()})
    assert [(a.host, a.hostaddr, a.port) for a in found] == [
        ("a", "10.0.0.1", "1"),
        ("a", "::1", "1"),
        ("10.0.0.3", "10.0.0.3", "3"),
        ("/run", "", "4"),
        ("c", "10.0.0.4", "5"),
    ]
    assert {a.target_session_attrs for a in found} == {"any"}


def test_a_standby_is_preferred_among_all() -> None:
    """Every place is asked for a standby before one is taken that is none."""
    wanted = Destination(split_places("10.0.0.1,10.0.0.2", "", "1"), "prefer-standby", "disable")
    assert [(a.hostaddr, a.target_session_attrs) for a in attempts(wanted, {})] == [
        ("10.0.0.1", "standby"),
        ("10.0.0.2", "standby"),
        ("10.0.0.1", "any"),
        ("10.0.0.2", "any"),
    ]
