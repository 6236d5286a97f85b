"""Which sessions a PgBouncer holds, and which it held and let go: those have lost their client.

PgBouncer closes the connection of a client that vanished in the middle of a query, and forgets
it; PostgreSQL goes on with the query. What it never listed says nothing about.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporter.snapshot import Session
from exporter.snapshot.pgbouncer import ServerRow


class Verdict(NamedTuple):
    """Pids of sessions: those that a pooler holds now, and those that it held and let go."""

    held: frozenset[int]
    left: frozenset[int]


class _End(NamedTuple):
    """A connection as PostgreSQL and PgBouncer both tell it; port -1 is the Unix socket."""

    pid: int
    port: int | None


class Pooler:
    """What one PgBouncer has said about its connections to PostgreSQL."""

    def __init__(self) -> None:
        self._listed: frozenset[_End] | None = None  # not asked yet
        # Listed since the last interruption, with the start of the session that was seen there.
        self._known: dict[_End, float | None] = {}

    def tell(self, servers: Iterable[ServerRow]) -> None:
        """Take the connections that it has now."""
        self._listed = frozenset(
            _End(row.remote_pid, -1 if row.local else row.local_port) for row in servers
        )
        for end in self._listed:
            self._known.setdefault(end, None)

    def interrupt(self) -> None:
        """Accuse nobody any more: whoever answers next may be another process with other pools.

        What was held when we last knew is believed to be so until we know better.
        """
        self._listed = self._listed or frozenset()
        self._known.clear()

    def judge(self, sessions: Sequence[Session]) -> Verdict:
        """Tell which of all sessions of the server it holds, and which it let go.

        Before it was asked for the first time, every one may be its own.
        """
        if self._listed is None:
            return Verdict(frozenset(s.pid for s in sessions), frozenset())
        if not (self._known or self._listed):
            return Verdict(frozenset(), frozenset())
        there = {_End(s.pid, s.client_port): s.backend_start for s in sessions}
        # What the server has no session of any more cannot be accused of anything, nor can who
        # got its pid: after a restart of the server's container they begin with the same ones.
        self._known = {
            end: there.get(end, began)
            for end, began in self._known.items()
            if end in self._listed or (end in there and began in {None, there[end]})
        }
        return Verdict(
            frozenset(end.pid for end in self._listed & there.keys()),
            frozenset(end.pid for end in self._known.keys() & there.keys() - self._listed),
        )
