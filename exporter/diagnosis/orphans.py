"""Which connections nobody needs any more, by the strength of the proof."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from exporter.diagnosis.clients import OWN_CLIENT
from exporter.diagnosis.sightings import Connected, Sighting, age
from exporter.diagnosis.states import ACTIVE_STATES, IDLE


class Reason(StrEnum):
    """Why a connection counts as orphaned, the strongest proof first."""

    CLIENT_GONE = "client_gone"
    QUERY_OUTLIVED_CLIENT = "query_outlived_client"
    IDLE_IN_TRANSACTION_TOO_LONG = "idle_in_transaction_too_long"
    IDLE_TOO_LONG = "idle_too_long"


class Finding(NamedTuple):
    """An orphaned connection, why, and for how many seconds it has been in its state."""

    connected: Connected
    reason: Reason
    age: float


class Limits(NamedTuple):
    """How long what may last, in seconds; by client where it has a limit of its own."""

    request_timeouts: Mapping[str, float]
    idle_timeouts: Mapping[str, float]
    idle_after: float
    idle_in_transaction_after: float


class _Backend(NamedTuple):
    """A session, whatever number its process has, and the query that it runs."""

    pid: int
    backend_start: float | None
    query_start: float | None


class OrphanFinder:
    """Find orphaned connections in one sighting after the other.

    What needs more than one look (a client that is gone, a query that nobody waits for) counts
    from the second look in a row on: a session may just end while it is looked at.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._gone: set[_Backend] = set()
        self._overdue: set[_Backend] = set()

    def interrupt(self) -> None:
        """Forget the last look."""
        self._gone, self._overdue = set(), set()

    def find(self, sighting: Sighting) -> list[Finding]:
        """Give the orphaned connections, each with its strongest reason."""
        gone, overdue = self._gone, self._overdue
        self._gone, self._overdue = set(), set()
        found = (
            (connected, self._reason(connected, sighting, gone, overdue))
            for connected in sighting.connections
        )
        return [
            Finding(connected, reason, age(connected.session.state_change, sighting.now) or 0.0)
            for connected, reason in found
            if reason is not None
        ]

    def _reason(
        self,
        connected: Connected,
        sighting: Sighting,
        gone: set[_Backend],
        overdue: set[_Backend],
    ) -> Reason | None:
        """Give the strongest reason of a connection, and note what needs a second look."""
        session = connected.session
        if session.pid in sighting.gone:
            backend = _Backend(session.pid, session.backend_start, None)
            self._gone.add(backend)
            if backend in gone:
                return Reason.CLIENT_GONE
        if connected.state in ACTIVE_STATES:
            if self._outlived(connected, sighting.now):
                backend = _Backend(session.pid, session.backend_start, session.query_start)
                self._overdue.add(backend)
                if backend in overdue:
                    return Reason.QUERY_OUTLIVED_CLIENT
            return None
        return next(self._idle_too_long(connected, sighting), None)

    def _outlived(self, connected: Connected, now: float) -> bool:
        """Tell whether a query runs for longer than anybody waits for it."""
        limit = self._limits.request_timeouts.get(connected.client)
        return limit is not None and (age(connected.session.query_start, now) or 0.0) > limit

    def _idle_too_long(self, connected: Connected, sighting: Sighting) -> Iterator[Reason]:
        """Yield why a connection should not be idle any more."""
        session, limits = connected.session, self._limits
        seconds = age(session.state_change, sighting.now)
        if seconds is None or connected.client == OWN_CLIENT:
            return  # we are idle between polls, however long these are apart
        if connected.state == IDLE:
            # One that listens waits on purpose; one in a pooler's hands is the pooler's to close.
            on_purpose = session.listening or session.pid in sighting.held
            limit = limits.idle_timeouts.get(connected.client, limits.idle_after)
            if seconds > limit and not on_purpose:
                yield Reason.IDLE_TOO_LONG
        elif (
            connected.state.startswith("idle in transaction")
            and seconds > limits.idle_in_transaction_after
        ):
            yield Reason.IDLE_IN_TRANSACTION_TOO_LONG
