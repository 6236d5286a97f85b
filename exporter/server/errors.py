"""What can go wrong with a poll: one class for each value of the label `reason`.

No message holds a secret: libpq's name host, port, user and database, and a server's error is
told by its primary message alone, since its context and its query may quote a user's data. What
a server sends back of our own password, or of our options, is masked.
"""

import re
from collections.abc import Iterable
from typing import ClassVar

import psycopg
from psycopg import errors

from exporter.server.secrets import secrets_of, without_secrets
from exporter.server.wordings import translated_sqlstate

NO_ANSWER = ""
UNKNOWN = "unknown"


class PollError(Exception):
    """A poll that gave no snapshot; `cure` is what to run against it, where that is known.

    `persistent` tells that trying again soon cannot help: a person must change something.
    """

    reason: ClassVar[str]
    persistent: ClassVar[bool] = False

    def __init__(self, message: str, *, sqlstate: str = NO_ANSWER, cure: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.cure = cure


class RefusedError(PollError):
    """Nobody listens, or the server turns everybody away (starting up, shutting down)."""

    reason = "refused"


class TooManyConnectionsError(PollError):
    """Every slot is taken: SQLSTATE 53300."""

    reason = "too_many_connections"


class AuthenticationError(PollError):
    """The server does not take our role or our password."""

    reason = "authentication"
    persistent = True


class PollTimeoutError(PollError):
    """No answer within the deadline."""

    reason = "timeout"


class PrivilegeError(PollError):
    """Our role may not see what the read needs."""

    reason = "privilege"


class MissingExtensionError(PollError):
    """pg_stat_statements is not created in the database that we are connected to."""

    reason = "missing_extension"


class MissingPreloadError(PollError):
    """pg_stat_statements is not in shared_preload_libraries."""

    reason = "missing_preload"


class OverriddenError(PollError):
    """Our role, our database or our startup options hide what the server itself has set."""

    reason = "overridden"


class ConnectionLostError(PollError):
    """The connection that we kept is gone."""

    reason = "connection_lost"


class QueryError(PollError):
    """The server answered with any other error."""

    reason = "query"


REASONS: dict[str, type[PollError]] = {
    cls.reason: cls
    for cls in (
        RefusedError,
        TooManyConnectionsError,
        AuthenticationError,
        PollTimeoutError,
        PrivilegeError,
        MissingExtensionError,
        MissingPreloadError,
        OverriddenError,
        ConnectionLostError,
        QueryError,
    )
}
"""Every reason there is, with its class."""

CONSOLE_DENIED = r"FATAL:\s+not allowed\b"
"""What PgBouncer's console says to a user who is in neither stats_users nor admin_users."""

# libpq does not tell the SQLSTATE of a failed connection: only the server's words remain.
_CONNECT_MESSAGES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), sqlstate)
    for pattern, sqlstate in (
        (r"remaining connection slots are reserved", "53300"),
        (r"sorry, too many clients already", "53300"),
        (r"too many connections for (role|database)", "53300"),
        (r"password authentication failed", "28P01"),
        (r"no pg_hba\.conf entry", "28000"),
        (r"pg_hba\.conf rejects", "28000"),
        (r'role ".*" (does not exist|is not permitted to log in)', "28000"),
        (r"\w+ authentication failed for user", "28000"),
        (r'database ".*" does not exist', "3D000"),
        (r"permission denied for database", "42501"),
        (r"the database system is ", "57P03"),
        (r"no more connections allowed", "08P01"),  # PgBouncer's max_client_conn
        (CONSOLE_DENIED, "28000"),
        (r"FATAL:  no such database: ", "3D000"),  # PgBouncer's too
        (r"FATAL:  SASL authentication failed", "28P01"),
        (r'FATAL:  "trust" authentication failed', "28000"),  # an unknown user of PgBouncer's
    )
)

# In any language: libpq writes two spaces behind the severity that a server sent, and one only
# behind its own words. What the server says ends before its detail, or libpq's next attempt.
_SERVER_ANSWERED = re.compile(r"failed: [^:\n]+:  ((?s:.*?))(?=\n.*:  |\Z)")

_CLASS_OF_SQLSTATE: tuple[tuple[str, type[PollError]], ...] = (
    ("53300", TooManyConnectionsError),
    ("28", AuthenticationError),
    ("3D000", AuthenticationError),
    ("42501", AuthenticationError),
    ("57P03", RefusedError),
)


def connect_sqlstate(message: str) -> str:
    """Give the SQLSTATE of a failed connection from its message; empty where nobody answered.

    >>> connect_sqlstate('connection to server failed: FATAL:  sorry, too many clients already')
    '53300'
    >>> connect_sqlstate('connection to server failed: Connection refused')
    ''
    """
    for pattern, sqlstate in _CONNECT_MESSAGES:
        if pattern.search(message):
            return sqlstate
    answers = _SERVER_ANSWERED.findall(message)
    return (translated_sqlstate(answers) or UNKNOWN) if answers else NO_ANSWER


def connect_error(error: psycopg.Error) -> PollError:
    """Classify a connection that could not be made."""
    if isinstance(error, psycopg.ProgrammingError):
        # libpq repeats the piece that it stumbled over, which may be the password.
        return AuthenticationError("the connection string cannot be parsed", sqlstate=UNKNOWN)
    message = without_secrets(" ".join(str(error).split()), secrets_of(error.pgconn))
    if isinstance(error, errors.ConnectionTimeout):
        return PollTimeoutError(message)
    sqlstate = error.sqlstate or connect_sqlstate(str(error))
    # libpq's own: it gives up before it asks the server.
    if "no password supplied" in message or "password file" in message:
        return AuthenticationError(message, sqlstate=sqlstate)
    for prefix, cls in _CLASS_OF_SQLSTATE:
        if sqlstate.startswith(prefix):
            return cls(message, sqlstate=sqlstate)
    return RefusedError(message, sqlstate=sqlstate)


def query_error(error: psycopg.Error, *, lost: bool, secrets: Iterable[str] = ()) -> PollError:
    """Classify a statement that failed on a connection that is now lost, or is not."""
    words = error.diag.message_primary or str(error)
    message = without_secrets(" ".join(words.split()), secrets)
    sqlstate = error.sqlstate or NO_ANSWER
    if isinstance(error, (errors.QueryCanceled, errors.LockNotAvailable)):
        return PollTimeoutError(message, sqlstate=sqlstate)
    if isinstance(error, errors.InsufficientPrivilege):
        return PrivilegeError(message, sqlstate=sqlstate)
    if lost:
        return ConnectionLostError(message, sqlstate=sqlstate)
    return QueryError(message, sqlstate=sqlstate)
