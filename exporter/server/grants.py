"""A look at what the exporter's role has and lacks on a server, for the command `grants`."""

from typing import Final

from exporter.server.access import Access
from exporter.server.connection import Connection
from exporter.snapshot import Equipment, Grants, RoleGrants

EQUIPMENT_QUERY: Final = """
SELECT current_database()::text AS dbname,
    has_database_privilege('public', current_database(), 'CONNECT') AS open_to_all,
    current_setting('max_connections')::int AS max_connections,
    current_setting('superuser_reserved_connections')::int AS superuser_reserved,
    current_setting('reserved_connections', true)::int AS reserved,
    current_setting('pg_stat_statements.max', true) IS NOT NULL AS preloaded,
    EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS created,
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') AS rds
"""

# The roles are joined by name, since a version may lack one.
ROLE_QUERY: Final = """
SELECT r.rolcanlogin AS may_login, r.rolinherit AS inherits,
    r.rolconnlimit AS connection_limit,
    EXISTS (SELECT FROM pg_roles AS m WHERE m.rolname = 'pg_monitor'
        AND pg_has_role(r.oid, m.oid, 'USAGE')) AS monitors,
    EXISTS (SELECT FROM pg_roles AS m WHERE m.rolname = 'pg_use_reserved_connections'
        AND pg_has_role(r.oid, m.oid, 'USAGE')) AS uses_reserve,
    has_database_privilege(r.oid, current_database(), 'CONNECT') AS may_connect
FROM pg_roles AS r WHERE r.rolname = %s
"""


async def read_grants(access: Access, role: str, probe_role: str | None, deadline: float) -> Grants:
    """Look at a server once, as whoever the DSN names; raise a PollError."""
    connection = await Connection.open(access, deadline)
    try:
        [equipment] = await connection.fetch_rows(Equipment, EQUIPMENT_QUERY)
        return Grants(
            connection.server_version // 10000,
            equipment,
            await _read_role(connection, role),
            None if probe_role is None else await _read_role(connection, probe_role),
        )
    finally:
        await connection.close()


async def _read_role(connection: Connection, name: str) -> RoleGrants | None:
    rows = await connection.fetch_rows(RoleGrants, ROLE_QUERY, (name,))
    return rows[0] if rows else None
