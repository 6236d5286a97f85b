"""Snapshots: immutable typed rows of one read of a server, with the server's own clock.

A PostgreSQL row type's fields are the columns of its statement, in their order;
`exporter.server` refuses a result whose columns differ. Times are seconds since the epoch on the
server's clock, never ours.
"""

from exporter.snapshot.activity import (
    CLIENT_BACKEND,
    Activity,
    PreparedLock,
    PreparedTransaction,
    Session,
    TcpTable,
)
from exporter.snapshot.grants import Equipment, Grants, RoleGrants
from exporter.snapshot.server import (
    Configuration,
    DatabaseRow,
    Databases,
    Limit,
    ProbeResult,
    Replication,
    ReplicationSlot,
    Settings,
    Timeout,
)
from exporter.snapshot.statements import StatementRow, Statements, StatementsInfo

__all__ = [
    "CLIENT_BACKEND",
    "Activity",
    "Configuration",
    "DatabaseRow",
    "Databases",
    "Equipment",
    "Grants",
    "Limit",
    "PreparedLock",
    "PreparedTransaction",
    "ProbeResult",
    "Replication",
    "ReplicationSlot",
    "RoleGrants",
    "Session",
    "Settings",
    "StatementRow",
    "Statements",
    "StatementsInfo",
    "TcpTable",
    "Timeout",
]
