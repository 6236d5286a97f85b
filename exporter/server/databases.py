"""The databases read: connection limits, and how sessions ended."""

from typing import Final

from exporter.server.connection import Connection
from exporter.snapshot import Databases, Limit

# A negative limit is none (-1), or marks a database whose DROP was interrupted (-2).
LIMITS_QUERY: Final = """
SELECT 'database' AS kind, datname AS name, datconnlimit AS connections
FROM pg_catalog.pg_database WHERE datconnlimit >= 0
UNION ALL
SELECT 'role', rolname, rolconnlimit FROM pg_catalog.pg_roles WHERE rolconnlimit >= 0
"""


async def read_databases(connection: Connection) -> Databases:
    """Read the connection limits of databases and roles."""
    return Databases(await connection.fetch_rows(Limit, LIMITS_QUERY), ())
