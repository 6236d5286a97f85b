"""One activity snapshot as the collectors see it: connections only, each with its client."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter.diagnosis import clients as naming
from exporter.diagnosis import sockets
from exporter.diagnosis.blocking import SAFE_SNAPSHOT, Root, leader, wait_graph
from exporter.diagnosis.clients import Clients
from exporter.diagnosis.poolers import Pooler
from exporter.snapshot import CLIENT_BACKEND, Activity, PreparedTransaction, Session

PREPARED_CLIENT = "prepared transaction"
"""The client of what is left of a session after PREPARE TRANSACTION."""
PREPARED_STATE = "prepared"


class Connected(NamedTuple):
    """One connection of a client, with the values of its labels."""

    session: Session
    client: str
    client_addr: str
    usename: str
    application_name: str
    datname: str
    state: str


class RootBlocker(NamedTuple):
    """Who blocks others and waits for nobody, how many wait behind, and for how long already.

    `identity` are the values of the labels client to state; `age` is that of the transaction in
    seconds, None where there is none (a lock of the session).
    """

    identity: tuple[str, ...]
    victims: int
    age: float | None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Every connection at one moment, and what is known of them together.

    `waits` has the seconds that the blocked ones wait, by pid; `depth` is the number of links of
    the longest chain of waits. `gone` has the pids of those whose client seems to be gone, and
    `held` of those that a watched pooler holds. `tcp_usable` is None where no TCP table is read.
    """

    now: float
    connections: tuple[Connected, ...]
    waits: Mapping[int, float] = field(default_factory=dict)
    roots: tuple[RootBlocker, ...] = ()
    depth: int = 0
    gone: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    tcp_usable: bool | None = None


def age(since: float | None, now: float) -> float | None:
    """Give the seconds since a time; clocks may disagree by a little, ages are never negative."""
    if since is None:
        return None
    return now - since if now > since else 0.0


class Observer:
    """Make sightings of snapshots: name clients, and drop the labels that are not wanted.

    `poolers` are the watched PgBouncers in front of the server.
    """

    def __init__(
        self, clients: Clients, labels: Iterable[str], poolers: Collection[Pooler] = ()
    ) -> None:
        self._clients = clients
        self._poolers = poolers
        self._tcp_usable: bool | None = None  # as of the last look
        wanted = frozenset(labels)
        self._addr, self._user, self._application, self._database = (
            label in wanted for label in ("client_addr", "usename", "application_name", "datname")
        )

    def observe(self, activity: Activity) -> Sighting:
        """Give the connections of a snapshot."""
        sessions = [s for s in activity.sessions if s.backend_type == CLIENT_BACKEND]
        names = self._clients.names(sessions, activity.own_pid)
        connections = tuple(map(self._connected, sessions, names))
        graph = wait_graph(activity)
        gone = self._gone_by_tcp(activity)
        verdicts = [pooler.judge(sessions) for pooler in self._poolers]
        return Sighting(
            activity.now,
            connections,
            waits(activity),
            tuple(self._roots(graph.roots, activity, connections)) if graph.roots else (),
            graph.depth,
            gone.union(*(verdict.left for verdict in verdicts)),
            frozenset().union(*(verdict.held for verdict in verdicts)),
            self._tcp_usable,
        )

    def _gone_by_tcp(self, activity: Activity) -> frozenset[int]:
        """Give whose clients are gone by the TCP table, if it was read and can be used."""
        if activity.tcp is None:
            return frozenset()
        self._tcp_usable = sockets.usable(activity, activity.tcp)
        return sockets.gone(activity, activity.tcp) if self._tcp_usable else frozenset()

    def _connected(self, session: Session, client: str) -> Connected:
        return Connected(
            session,
            client,
            naming.client_addr(session) if self._addr else "",
            (session.usename or "") if self._user else "",
            (session.application_name or "") if self._application else "",
            (session.datname or "") if self._database else "",
            session.state or "",
        )

    def _roots(
        self, roots: Iterable[Root], activity: Activity, connections: Iterable[Connected]
    ) -> Iterator[RootBlocker]:
        """Yield the roots with their labels; who came after the sessions were read has none."""
        known = {connected.session.pid: connected for connected in connections}
        # A process of the server is labelled by what it is.
        known |= {
            s.pid: self._connected(s, s.backend_type or "")
            for s in activity.sessions
            if s.pid not in known
        }
        for blocker, victims in roots:
            if isinstance(blocker, PreparedTransaction):
                yield self._prepared(blocker, victims, activity.now)
            elif blocker in known:
                began = age(known[blocker].session.xact_start, activity.now)
                yield RootBlocker(known[blocker][1:], victims, began)

    def _prepared(self, blocker: PreparedTransaction, victims: int, now: float) -> RootBlocker:
        owner = blocker.owner if self._user else ""
        datname = blocker.datname if self._database else ""
        identity = (PREPARED_CLIENT, "", owner, "", datname, PREPARED_STATE)
        return RootBlocker(identity, victims, age(blocker.prepared, now))


def waits(activity: Activity) -> dict[int, float]:
    """Give the seconds that each blocked session waits, by pid.

    A parallel query waits when one of its workers does. Before PostgreSQL 14 nobody knows since
    when: the age of the query is the upper bound that is given instead.
    """
    found: dict[int, float] = {}
    for session in activity.sessions:
        if session.lock_wait is None and session.wait_event != SAFE_SNAPSHOT:
            continue
        since = session.wait_start if session.wait_start is not None else session.query_start
        pid = leader(session)
        found[pid] = max(found.get(pid, 0.0), age(since, activity.now) or 0.0)
    return found
