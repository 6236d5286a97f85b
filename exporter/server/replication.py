"""The replication read: slots, and WAL senders."""

from typing import Final

from exporter.server.connection import Connection
from exporter.snapshot import Replication, ReplicationSlot

# Temporary slots are left out: they end with their session, and their names hold its pid.
# A lost slot holds no WAL, though since 16 it may still have a position. A standby's own position
# is the last that it has received, or replayed from an archive; each row asks for it, so that a
# server without slots need not have the functions, which some vendors lack.
SLOTS_QUERY: Final = """
SELECT slot_name, slot_type, active,
    CASE WHEN wal_status = 'lost' THEN NULL
        WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(
            greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), restart_lsn)
        ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)
    END::float8 AS retained_bytes
FROM pg_catalog.pg_replication_slots WHERE NOT temporary
"""

# Everybody may count the rows of the function, of which each is a WAL sender that is taken: by a
# standby, a subscriber, a base backup, or a replication connection that does nothing yet.
# pg_stat_replication would read every session besides.
WAL_SENDERS_QUERY: Final = """
SELECT (SELECT count(*) FROM pg_stat_get_wal_senders()), current_setting('max_wal_senders')::int
"""


async def read_replication(connection: Connection) -> Replication:
    """Read the replication slots and the WAL senders."""
    slots = await connection.fetch_rows(ReplicationSlot, SLOTS_QUERY)
    [(used, most)] = await connection.fetch(WAL_SENDERS_QUERY)
    return Replication(slots, used, most)
