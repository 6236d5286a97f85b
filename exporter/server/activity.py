"""The activity read: every session, once, with since when each waits for a lock."""

from typing import Final, LiteralString

from exporter.server.connection import Connection
from exporter.snapshot import Activity, Session

# pg_locks is read only when somebody waits: the planner turns the uncorrelated condition into a
# one-time filter. Times come from date_part, since the numeric `extract` is dearer.
ACTIVITY_QUERY: Final = """
WITH sessions AS MATERIALIZED (
    SELECT pid, leader_pid, backend_type, datname, usename, application_name,
        host(client_addr) AS client_addr, client_port, state, wait_event_type, wait_event,
        date_part('epoch', backend_start) AS backend_start,
        date_part('epoch', xact_start) AS xact_start,
        date_part('epoch', query_start) AS query_start,
        date_part('epoch', state_change) AS state_change,
        state = 'idle' AND ltrim(query, E' \\t\\r\\n') ILIKE 'listen%%' AS listening
    FROM pg_catalog.pg_stat_activity
), waits AS MATERIALIZED (
    SELECT pid, date_part('epoch', waitstart) AS wait_start, mode AS lock_mode,
        (locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid,
            objsubid)::text AS lock_wait
    FROM pg_catalog.pg_locks
    WHERE NOT granted AND (SELECT bool_or(wait_event_type = 'Lock') FROM sessions)
), firsts AS (
    SELECT DISTINCT ON (lock_wait, lock_mode) pid FROM waits
    ORDER BY lock_wait, lock_mode, wait_start, pid
)
SELECT sessions.*, waits.wait_start, waits.lock_wait, waits.lock_mode,
    CASE WHEN firsts.pid IS NOT NULL THEN pg_blocking_pids(sessions.pid)
        WHEN sessions.wait_event = 'SafeSnapshot' THEN pg_safe_snapshot_blocking_pids(sessions.pid)
    END AS blockers,
    date_part('epoch', statement_timestamp()) AS read_start,
    date_part('epoch', clock_timestamp()) AS seen_at
FROM sessions LEFT JOIN waits USING (pid) LEFT JOIN firsts USING (pid)
"""

_VERSION_WITH_WAITSTART: Final = 140000


def activity_query(server_version: int) -> LiteralString:
    """Give the statement for a server's version."""
    if server_version >= _VERSION_WITH_WAITSTART:
        return ACTIVITY_QUERY
    return ACTIVITY_QUERY.replace("waitstart", "NULL::timestamptz")


async def read_activity(connection: Connection) -> Activity:
    """Read every session."""
    query = activity_query(connection.server_version)
    return Activity(await connection.fetch_rows(Session, query), connection.pid)
