"""The settings read, and the limits read: what a server is, and how many clients it takes."""

from typing import Final

from exporter.server.connection import Connection
from exporter.snapshot import Limit, Limits, Settings

# Every one of these belongs to the server alone: no session of ours can have another value.
SETTINGS_QUERY: Final = """
SELECT current_setting('server_version') AS version,
    pg_is_in_recovery() AS in_recovery,
    date_part('epoch', pg_postmaster_start_time()) AS postmaster_start,
    current_setting('max_connections')::int AS max_connections,
    current_setting('superuser_reserved_connections')::int AS superuser_reserved,
    current_setting('reserved_connections', true)::int AS reserved,
    current_setting('rds.rds_superuser_reserved_connections', true)::int
        AS rds_superuser_reserved
"""

# A negative limit is none (-1), or marks a database whose DROP was interrupted (-2).
LIMITS_QUERY: Final = """
SELECT 'database' AS kind, datname AS name, datconnlimit AS connections
FROM pg_catalog.pg_database WHERE datconnlimit >= 0
UNION ALL
SELECT 'role', rolname, rolconnlimit FROM pg_catalog.pg_roles WHERE rolconnlimit >= 0
"""


async def read_settings(connection: Connection) -> Settings:
    """Read what the server is."""
    [settings] = await connection.fetch_rows(Settings, SETTINGS_QUERY)
    return settings


async def read_limits(connection: Connection) -> Limits:
    """Read the connection limits of databases and roles."""
    return Limits(await connection.fetch_rows(Limit, LIMITS_QUERY))
