"""What can go wrong, told apart by the words that a server and libpq use."""

import psycopg
import pytest
from psycopg import errors

from exporter.server.errors import (
    AuthenticationError,
    ConnectionLostError,
    PollError,
    PollTimeoutError,
    PrivilegeError,
    QueryError,
    RefusedError,
    TooManyConnectionsError,
    connect_error,
    connect_sqlstate,
    query_error,
)

PREFIX = 'connection failed: connection to server at "10.0.0.9", port 5432 failed: '

# Each was seen on a real server; 13, 14, 15 and 16, 17, 18 have different words.
SLOTS = (
    "remaining connection slots are reserved for non-replication superuser connections",
    (
        "remaining connection slots are reserved for roles with privileges of the"
        ' "pg_use_reserved_connections" role'
    ),
    "remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "sorry, too many clients already",
    'too many connections for role "lim"',
    'too many connections for database "limdb"',
)
REFUSALS = {
    'password authentication failed for user "app"': "28P01",
    'no pg_hba.conf entry for host "10.0.0.1", user "app", database "shop", no encryption': "28000",
    'pg_hba.conf rejects connection for host "10.0.0.1", user "app", database "shop"': "28000",
    'role "nobody" does not exist': "28000",
    'role "group" is not permitted to log in': "28000",
    'Peer authentication failed for user "app"': "28000",
    'LDAP authentication failed for user "app"': "28000",
    'GSSAPI authentication failed for user "app"': "28000",
    'certificate authentication failed for user "app"': "28000",
    'database "gone" does not exist': "3D000",
    'permission denied for database "shop"\nDETAIL:  User does not have CONNECT privilege.': (
        "42501"
    ),
    "not allowed": "28000",
    '"trust" authentication failed': "28000",
    "SASL authentication failed": "28P01",
    "no such database: gone": "3D000",
    "the database system is starting up": "57P03",
    "the database system is shutting down": "57P03",
    "the database system is in recovery mode": "57P03",
    "the database system is not accepting connections": "57P03",
    "the database system is not yet accepting connections": "57P03",
}
NOBODY = (
    "connection failed: Connection refused\n\tIs the server running on that host?",
    "failed to resolve host 'db.internal': [Errno -2] Name or service not known",
    "connection failed: server closed the connection unexpectedly\n\tThis probably means ...",
    "connection failed: No route to host",
    'connection failed: could not receive data from server: "FATAL" is no word of a server',
    "",
)
FOREIGN = (
    "FATAL:  die verbleibenden Verbindungen sind für Superuser reserviert",
    "FATALE:  troppi client",
    "致命错误:  太多",
    "ВАЖНО:  слишком много",
    "PANIC:  could not locate a valid checkpoint record",
    "FATAL:  something that no version of today says",
)


@pytest.mark.parametrize("words", SLOTS)
def test_out_of_slots(words: str) -> None:
    """Whichever limit was reached, in whichever version's words, it is 53300."""
    message = f"{PREFIX}FATAL:  {words}"
    assert connect_sqlstate(message) == "53300"
    error = connect_error(psycopg.OperationalError(message))
    assert isinstance(error, TooManyConnectionsError)
    assert (error.sqlstate, error.persistent) == ("53300", False)


@pytest.mark.parametrize(("words", "sqlstate"), REFUSALS.items())
def test_refusals(words: str, sqlstate: str) -> None:
    """A server that is not up yet is refusing; everything else a person must set right."""
    message = f"{PREFIX}FATAL:  {words}"
    assert connect_sqlstate(message) == sqlstate
    error = connect_error(psycopg.OperationalError(message))
    assert type(error) is (RefusedError if sqlstate == "57P03" else AuthenticationError)
    assert error.sqlstate == sqlstate
    assert error.persistent == (sqlstate != "57P03")


@pytest.mark.parametrize("message", NOBODY)
def test_nobody_answers(message: str) -> None:
    """Without an answer of a server there is no SQLSTATE."""
    assert connect_sqlstate(message) == ""
    error = connect_error(psycopg.OperationalError(message))
    assert type(error) is RefusedError
    assert (error.sqlstate, error.persistent) == ("", False)


@pytest.mark.parametrize("words", FOREIGN)
def test_words_that_are_not_understood(words: str) -> None:
    """A server that answers in other words is not taken for one that does not answer."""
    assert connect_sqlstate(PREFIX + words) == "unknown"
    assert type(connect_error(psycopg.OperationalError(PREFIX + words))) is RefusedError


@pytest.mark.parametrize(
    "words",
    ["fe_sendauth: no password supplied", 'password file "/x" has group or world access'],
)
def test_no_password(words: str) -> None:
    """The client library gives up by itself: trying again does not help."""
    error = connect_error(psycopg.OperationalError(PREFIX + words))
    assert type(error) is AuthenticationError
    assert error.persistent


def test_connecting_takes_too_long() -> None:
    """A time-out is one, whatever its words."""
    assert type(connect_error(errors.ConnectionTimeout("out of time"))) is PollTimeoutError


def test_a_known_sqlstate_wins() -> None:
    """Should libpq tell the SQLSTATE one day, it counts rather than the words."""
    error = connect_error(errors.TooManyConnections("lo siento, demasiados clientes"))
    assert type(error) is TooManyConnectionsError
    assert error.sqlstate == "53300"


def test_messages_are_one_line() -> None:
    """A message fits into a line of the log."""
    error = connect_error(psycopg.OperationalError("one\n\ttwo\n   three"))
    assert str(error) == "one two three"


@pytest.mark.parametrize(
    ("error", "lost", "expected"),
    [
        (errors.QueryCanceled("canceling statement due to statement timeout"), False, "timeout"),
        (errors.InsufficientPrivilege("permission denied"), False, "privilege"),
        (errors.UndefinedTable("relation does not exist"), False, "query"),
        (errors.ObjectNotInPrerequisiteState("must be loaded"), False, "query"),
        (errors.LockNotAvailable("canceling statement due to lock timeout"), False, "timeout"),
        (errors.AdminShutdown("terminating connection"), True, "connection_lost"),
        (errors.IdleSessionTimeout("terminating connection"), True, "connection_lost"),
        (psycopg.OperationalError("the connection is closed"), True, "connection_lost"),
        (psycopg.OperationalError("consuming input failed\nmore"), True, "connection_lost"),
        (psycopg.OperationalError("something else"), False, "query"),
    ],
)
def test_statements_that_fail(error: psycopg.Error, expected: str, *, lost: bool) -> None:
    """The reason comes from the SQLSTATE, and from whether the connection survived."""
    classes: dict[str, type[PollError]] = {
        "timeout": PollTimeoutError,
        "privilege": PrivilegeError,
        "query": QueryError,
        "connection_lost": ConnectionLostError,
    }
    found = query_error(error, lost=lost)
    assert type(found) is classes[expected]
    assert found.reason == expected
    assert found.sqlstate == (error.sqlstate or "")
    assert str(found) == " ".join(str(error).split())
