"""The activity read: every session, once, with the lock that each waits for, and its blockers."""

from functools import cache
from typing import Final

from psycopg import sql

from exporter.server.connection import Connection
from exporter.snapshot import Activity, PreparedLock, Session

# What tells a lock apart, as one text; the columns are those of pg_locks.
_LOCK: Final = sql.SQL(
    "(locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid,"
    " objsubid)::text"
)

# pg_locks is read only when somebody waits: the planner turns the uncorrelated condition into a
# one-time filter. pg_blocking_pids is asked for the first waiter of each queue: for every waiter
# it costs a time that grows with the square of their number. Times come from date_part, since the
# numeric `extract` is dearer.
ACTIVITY_QUERY: Final = """
WITH sessions AS MATERIALIZED (
    SELECT pid, leader_pid, backend_type, datname, usename, application_name,
        host(client_addr) AS client_addr, client_port, state, wait_event_type, wait_event,
        date_part('epoch', backend_start) AS backend_start,
        date_part('epoch', xact_start) AS xact_start,
        date_part('epoch', query_start) AS query_start,
        date_part('epoch', state_change) AS state_change,
        state = 'idle' AND query::name ~* '^[ \n\r\t]*listen' AS listening
    FROM pg_catalog.pg_stat_activity
), waits AS MATERIALIZED (
    SELECT pid, date_part('epoch', {waitstart}) AS wait_start, {lock} AS lock_wait,
        mode AS lock_mode
    FROM pg_catalog.pg_locks
    WHERE NOT granted AND (SELECT bool_or(wait_event_type = 'Lock') FROM sessions)
), firsts AS (
    SELECT DISTINCT ON (lock_wait, lock_mode) pid FROM waits
    ORDER BY lock_wait, lock_mode, wait_start, pid
)
SELECT sessions.*, waits.wait_start, waits.lock_wait, waits.lock_mode,
    CASE WHEN firsts.pid IS NOT NULL THEN pg_blocking_pids(pid)
        WHEN wait_event = 'SafeSnapshot' THEN pg_safe_snapshot_blocking_pids(pid)
    END AS blockers,
    date_part('epoch', statement_timestamp()) AS read_start,
    date_part('epoch', clock_timestamp()) AS seen_at
FROM sessions LEFT JOIN waits USING (pid) LEFT JOIN firsts USING (pid)
"""

# A prepared transaction has no pid: its locks are found by the virtual transaction that also
# holds the lock of its own transaction id.
PREPARED_QUERY: Final = """
WITH held AS MATERIALIZED (
    SELECT virtualtransaction, transactionid, {lock} AS lock, mode
    FROM pg_catalog.pg_locks WHERE granted AND pid IS NULL
)
SELECT held.lock, held.mode, p.transaction::text AS transaction, p.owner,
    p.database AS datname, date_part('epoch', p.prepared) AS prepared
FROM pg_catalog.pg_prepared_xacts AS p
JOIN held AS own ON own.transactionid = p.transaction
JOIN held ON held.virtualtransaction = own.virtualtransaction
WHERE held.lock = ANY (%s)
"""

_VERSION_WITH_WAITSTART: Final = 140000


@cache
def activity_query(server_version: int) -> sql.Composed:
    """Give the statement for a server's version."""
    # It is set an instant after the wait has begun: unknown is only what a version does not have.
    known = server_version >= _VERSION_WITH_WAITSTART
    start = "coalesce(waitstart, clock_timestamp())" if known else "NULL::timestamptz"
    return sql.SQL(ACTIVITY_QUERY).format(lock=_LOCK, waitstart=sql.SQL(start))


async def read_activity(connection: Connection) -> Activity:
    """Read every session, and the prepared transactions that are in the way of one."""
    query = activity_query(connection.server_version)
    sessions = await connection.fetch_rows(Session, query)
    awaited = {s.lock_wait for s in sessions if s.blockers and 0 in s.blockers}
    prepared: tuple[PreparedLock, ...] = ()
    if awaited:
        prepared = await connection.fetch_rows(
            PreparedLock, sql.SQL(PREPARED_QUERY).format(lock=_LOCK), (list(awaited),)
        )
    return Activity(sessions, connection.pid, prepared)


async def read_port(connection: Connection) -> int:
    """Read the port that the server listens on, in its own network namespace."""
    [(port,)] = await connection.fetch("SELECT pg_catalog.current_setting('port')::int")
    return int(port)
