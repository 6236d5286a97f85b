"""The activity read: every session of a server, who waits for what, and what TCP knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

CLIENT_BACKEND = "client backend"
"""The `backend_type` of what counts as a connection and takes one of the slots."""


class Session(NamedTuple):
    """One row of pg_stat_activity, and the lock of pg_locks that it waits for, if any.

    `listening` tells that an idle session's last statement was LISTEN: it waits on purpose.
    `lock_wait` identifies the awaited lock, in a form that is only good for comparing, and
    `lock_mode` is how it is wanted; `wait_start` (pg_locks.waitstart) is None before PostgreSQL 14.
    `blockers` are the leaders' pids of pg_blocking_pids, 0 for a prepared transaction. They are
    asked once for all who want the same lock in the same mode: of the others it is None.
    `read_start` and `seen_at` are the server's clock when it took up the statement and when it
    gave out this row: their distance is what the poll cost the server, without the network.
    """

    pid: int
    leader_pid: int | None
    backend_type: str | None
    datname: str | None
    usename: str | None
    application_name: str | None
    client_addr: str | None
    client_port: int | None
    state: str | None
    wait_event_type: str | None
    wait_event: str | None
    backend_start: float | None
    xact_start: float | None
    query_start: float | None
    state_change: float | None
    listening: bool | None
    wait_start: float | None
    lock_wait: str | None
    lock_mode: str | None
    blockers: list[int] | None
    read_start: float
    seen_at: float


class PreparedTransaction(NamedTuple):
    """One row of pg_prepared_xacts."""

    transaction: str
    owner: str
    datname: str
    prepared: float


class PreparedLock(NamedTuple):
    """A lock that somebody waits for and a prepared transaction holds.

    `lock` and `mode` are to be compared with `lock_wait` and `lock_mode` of a session; the rest
    is the transaction's row of pg_prepared_xacts.
    """

    lock: str
    mode: str
    transaction: str
    owner: str
    datname: str
    prepared: float

    @property
    def holder(self) -> PreparedTransaction:
        """Give the transaction."""
        return PreparedTransaction(*self[2:])


@dataclass(frozen=True, slots=True)
class TcpTable:
    """What the server's host knows of the sockets of the server's port: /proc/net/tcp and tcp6.

    `asked` are the pids of the sessions whose sockets were looked for. `peers` has the state (two
    hexadecimal digits) by the address and port of the other end. `same_processes` tells that pids
    of the server are pids here; `titles` are then the command lines of those who were asked for
    and whose socket is not established, by pid. `own_seconds` is the processor time that it took
    us.
    """

    asked: frozenset[int]
    peers: Mapping[tuple[str, int], str]
    same_processes: bool
    titles: Mapping[int, str]
    own_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Activity:
    """Every session of a server at one moment.

    `prepared` is only filled where a prepared transaction blocks somebody; `tcp` is read after
    the sessions, where the configuration asks for it and somebody is suspected.
    """

    sessions: tuple[Session, ...]
    own_pid: int
    prepared: tuple[PreparedLock, ...] = ()
    tcp: TcpTable | None = None

    @property
    def now(self) -> float:
        """Give the server's clock at the end of the read."""
        return self.sessions[-1].seen_at

    @property
    def server_seconds(self) -> float:
        """Give how long the server worked on the read."""
        return max(0.0, self.now - self.sessions[-1].read_start)

    @property
    def limited(self) -> bool:
        """Tell whether other roles' sessions are hidden from us (no pg_read_all_stats)."""
        # A parallel worker that has just ended has no type any more, but a start it has.
        return any(s.backend_type is None and s.backend_start is None for s in self.sessions)
