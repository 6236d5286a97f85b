"""One activity snapshot as the collectors see it: connections only, each with its client."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from exporter.diagnosis import clients as naming
from exporter.diagnosis.clients import Clients
from exporter.snapshot import CLIENT_BACKEND, Activity, Session

IDLE = "idle"
ACTIVE_STATES = frozenset({"active", "fastpath function call"})
"""The states in which a query runs."""
STARTING = "starting"
"""Still logging in (18 on): nobody knows yet who it is."""
NOT_BUSY_STATES = frozenset({IDLE, STARTING, "disabled", ""})
"""Not working for a client, or nobody knows (track_activities is off)."""


class Connected(NamedTuple):
    """One connection of a client, with the values of its labels."""

    session: Session
    client: str
    client_addr: str
    usename: str
    application_name: str
    datname: str
    state: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """Every connection at one moment; `waits` has the seconds that the blocked ones wait."""

    now: float
    connections: tuple[Connected, ...]
    waits: Mapping[int, float]


def age(since: float | None, now: float) -> float | None:
    """Give the seconds since a time; clocks may disagree by a little, ages are never negative."""
    if since is None:
        return None
    return now - since if now > since else 0.0


class Observer:
    """Make sightings of snapshots: name clients, and drop the labels that are not wanted."""

    def __init__(self, clients: Clients, labels: Iterable[str]) -> None:
        self._clients = clients
        wanted = frozenset(labels)
        self._addr, self._user, self._application, self._database = (
            label in wanted for label in ("client_addr", "usename", "application_name", "datname")
        )

    def observe(self, activity: Activity) -> Sighting:
        """Give the connections of a snapshot."""
        sessions = [s for s in activity.sessions if s.backend_type == CLIENT_BACKEND]
        names = self._clients.names(sessions, activity.own_pid)
        return Sighting(
            activity.now,
            tuple(map(self._connected, sessions, names)),
            waits(activity),
        )

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


def waits(activity: Activity) -> dict[int, float]:
    """Give the seconds that each blocked session waits, by pid.

    A parallel query waits when one of its workers does. Before PostgreSQL 14 nobody knows since
    when: the age of the query is the upper bound that is given instead.
    """
    found: dict[int, float] = {}
    for session in activity.sessions:
        if session.wait_event_type != "Lock" and session.wait_event != "SafeSnapshot":
            continue
        since = session.wait_start if session.wait_start is not None else session.query_start
        pid = session.leader_pid or session.pid
        found[pid] = max(found.get(pid, 0.0), age(since, activity.now) or 0.0)
    return found
