"""What a server sends back of our own password is not told."""

import psycopg
import pytest
from psycopg import pq

from exporter.server.errors import connect_error
from exporter.server.secrets import secrets_of, without_secrets

SECRET = "hunter2 @db.internal:5432"


def secrets(conninfo: str) -> frozenset[str]:
    """Give the secrets of a connection that could not be made."""
    return secrets_of(pq.PGconn.connect(conninfo.encode()))


@pytest.mark.parametrize(
    ("conninfo", "found"),
    [
        ("host=/nowhere user=me", set()),
        (f"host=/nowhere password='{SECRET}'", {SECRET}),
        ("postgresql://me:p%40ss%2Fw@/?host=/nowhere", {"p@ss/w"}),
        ("host=/nowhere sslpassword=hunter2", {"hunter2"}),
        ("host=/nowhere sslkey='pkcs11:token=me;pin-value=77'", {"pkcs11:token=me;pin-value=77"}),
        ("host=/nowhere sslkey=/etc/ssl/me.key", set()),
        ("host=/nowhere options='-c my.secret=hunter2 --lock_timeout=5s'", {"hunter2", "5s"}),
        ("host=/nowhere user=postgres password=postgres", set()),
        ("host=/nowhere/hunter2/run password=hunter2", set()),
    ],
)
def test_secrets(conninfo: str, found: set[str]) -> None:
    """Passwords of every kind are secret, and values of options; what is shown anyway is not."""
    assert secrets(conninfo) == found


def test_secrets_that_the_dsn_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of the environment is as secret."""
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    assert secrets("host=/nowhere") == {"hunter2"}


def test_a_connection_that_is_closed() -> None:
    """Of a connection that is closed, nothing is known."""
    connection = pq.PGconn.connect(b"host=/nowhere password=hunter2")
    connection.finish()
    assert secrets_of(connection) == frozenset()
    assert secrets_of(None) == frozenset()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f"you sent {SECRET}!", "you sent ***!"),
        ("nothing of it", "nothing of it"),
        ("pw is a word, pwd is none", "*** is a word, pwd is none"),
        ("hunter2hunter2 hunter22", "****** ***2"),
        (r"a\b.*", "***"),
    ],
)
def test_masking(message: str, told: str) -> None:
    """Each is masked wherever it stands; one of a few letters only where it is a word."""
    assert without_secrets(message, {SECRET, "hunter2", "pw", r"a\b.*"}) == told


def test_a_string_that_cannot_be_parsed() -> None:
    """What libpq quotes of a connection string is not told."""
    for conninfo in ("postgresql://me:hunter2%zz@host/", "host=db hunter2", "hunter2=5"):
        with pytest.raises(psycopg.ProgrammingError) as caught:
            psycopg.connect(conninfo)
        assert "hunter2" not in str(connect_error(caught.value))
