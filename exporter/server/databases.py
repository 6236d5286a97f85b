"""The databases read: connection limits, and how sessions ended."""

from typing import Final

from psycopg import sql

from exporter.server.connection import Connection
from exporter.snapshot import DatabaseRow, Databases, Limit

# A negative limit is none (-1), or marks a database whose DROP was interrupted (-2).
LIMITS_QUERY: Final = """
SELECT 'database' AS kind, datname AS name, datconnlimit AS connections
FROM pg_catalog.pg_database WHERE datconnlimit >= 0
UNION ALL
SELECT 'role', rolname, rolconnlimit FROM pg_catalog.pg_roles WHERE rolconnlimit >= 0
"""

# template0 is left out: nobody can be connected to it. template1 stays, since sessions in it do
# harm (they stop CREATE DATABASE), and so does a database that was closed just now: its sessions
# were killed. The row without a name is that of the shared objects, in which there are none.
STATISTICS_QUERY: Final = """
SELECT d.datname, s.deadlocks, {sessions}
FROM pg_catalog.pg_stat_database AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.datid
WHERE d.datallowconn OR NOT d.datistemplate
"""

SESSIONS: Final = """s.sessions, s.session_time / 1000 AS session_seconds,
    s.active_time / 1000 AS active_seconds,
    s.idle_in_transaction_time / 1000 AS idle_in_transaction_seconds,
    s.sessions_abandoned AS abandoned, s.sessions_fatal AS fatal, s.sessions_killed AS killed"""

# PostgreSQL 13 does not count sessions.
NO_SESSIONS: Final = """NULL::bigint AS sessions, NULL::float8 AS session_seconds,
    NULL::float8 AS active_seconds, NULL::float8 AS idle_in_transaction_seconds,
    NULL::bigint AS abandoned, NULL::bigint AS fatal, NULL::bigint AS killed"""

_VERSION_WITH_SESSIONS: Final = 140000


async def read_databases(connection: Connection) -> Databases:
    """Read the connection limits of databases and roles, and the statistics of databases."""
    limits = await connection.fetch_rows(Limit, LIMITS_QUERY)
    counted = connection.server_version >= _VERSION_WITH_SESSIONS
    sessions = sql.SQL(SESSIONS if counted else NO_SESSIONS)
    query = sql.SQL(STATISTICS_QUERY).format(sessions=sessions)
    return Databases(limits, await connection.fetch_rows(DatabaseRow, query))
