"""Whose client is gone: what the TCP table of the server's host proves.

When a process dies, the kernel closes its sockets: the server's end is in CLOSE_WAIT from then on,
or absent where the client had not read everything (a reset). PostgreSQL notices only when it next
reads or writes, which a long query does not.
"""

from typing import Final

from exporter.diagnosis.states import ACTIVE_STATES
from exporter.snapshot import CLIENT_BACKEND, Activity, Session, TcpTable

ESTABLISHED: Final = "01"
CLOSE_WAIT: Final = "08"
_GONE: Final = frozenset({"", CLOSE_WAIT})
"""States that prove it; empty is no socket at all."""


def usable(activity: Activity, table: TcpTable) -> bool:
    """Tell whether the table is that of the server's network namespace.

    Elsewhere every session would look as if its socket had been reset. So a session that surely
    lives has to be in the table: our own, or any other if we come over the Unix socket.
    """
    own = [s for s in activity.sessions if s.pid == activity.own_pid and _by_tcp(s)]
    if not own and table.same_processes:
        return True  # it is our own backend's table
    return any(_state(s, table) == ESTABLISHED for s in own or activity.sessions if _by_tcp(s))


def suspects(activity: Activity, since: float) -> tuple[Session, ...]:
    """Give the sessions whose client may be gone: their queries run since a time at least.

    A session that does not run a query ends with its client, and a short query ends by itself.
    """
    return tuple(
        s
        for s in activity.sessions
        if s.query_start is not None
        and s.query_start <= since
        and s.state in ACTIVE_STATES
        and _by_tcp(s)
    )


def gone(activity: Activity, table: TcpTable) -> frozenset[int]:
    """Give the pids of the sessions whose clients are gone, by a usable table.

    The table was read after the sessions: one that ended in between looks gone, too.
    """
    return frozenset(
        s.pid
        for s in activity.sessions
        if s.pid in table.asked and _state(s, table) in _GONE and _is_backend(s, table)
    )


def _by_tcp(session: Session) -> bool:
    return session.backend_type == CLIENT_BACKEND and (session.client_port or 0) > 0


def _state(session: Session, table: TcpTable) -> str:
    return table.peers.get((session.client_addr or "", session.client_port or 0), "")


def _is_backend(session: Session, table: TcpTable) -> bool:
    """Tell whether the process of that pid still is the backend that serves this port."""
    if not table.same_processes:
        return True  # their pids are not ours: there is nothing to compare
    return f"({session.client_port})" in table.titles.get(session.pid, "")
