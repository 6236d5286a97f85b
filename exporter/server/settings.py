"""The settings read: what a server is, and the timeouts that new sessions get."""

from typing import Final

from exporter.server.connection import Connection
from exporter.snapshot import Configuration, Settings

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


async def read_configuration(connection: Connection) -> Configuration:
    """Read what the server is, and its timeouts."""
    [settings] = await connection.fetch_rows(Settings, SETTINGS_QUERY)
    return Configuration(settings, ())
