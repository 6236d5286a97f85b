"""Which sessions a PgBouncer holds, and which it held and let go: those have lost their client.

PgBouncer closes the connection of a client that vanished in the middle of a query, and forgets
it; PostgreSQL goes on with the query. What it never listed says nothing about.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from exporter.snapshot import Session
from exporter.snapshot.pgbouncer import ServerRow


class Verdict(NamedTuple):
    """Pids of sessions: those that a pooler holds now, and those that it held and let go."""

    held: frozenset[int]
    left: frozenset[int]


class Pooler:
    """What one PgBouncer has said about its connections to PostgreSQL."""

    def __init__(self) -> None:
        self._listed: frozenset[ServerRow] = frozenset()
        self._known: set[ServerRow] = set()

    def tell(self, servers: Iterable[ServerRow]) -> None:
        """Take the connections that it has now."""
        self._listed = frozenset(servers)
        self._known |= self._listed

    def interrupt(self) -> None:
        """Forget everything: whoever answers next may be another process with other pools."""
        self._listed = frozenset()
        self._known.clear()

    def judge(self, sessions: Sequence[Session]) -> Verdict:
        """Tell which of all sessions of the server it holds, and which it let go.

        Forgets connections that the server has no session of any more.
        """
        theirs = {row: s.pid for s in sessions for row in _candidates(s) if row in self._known}
        self._known &= theirs.keys() | self._listed
        return Verdict(
            frozenset(pid for row, pid in theirs.items() if row in self._listed),
            frozenset(pid for row, pid in theirs.items() if row not in self._listed),
        )


def _candidates(session: Session) -> Collection[ServerRow]:
    raise NotImplementedError
