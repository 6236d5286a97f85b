"""Hand-written rows, and what collectors make of them."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from exporter.diagnosis.clients import Clients, Group
from exporter.diagnosis.sightings import Observer, Sighting
from exporter.exposition import Distribution, Sample
from exporter.snapshot import Activity, PreparedLock, Session, StatementRow

NOW: Final = 1_700_000_000.0
LABELS: Final = ("client_addr", "usename", "application_name", "datname")

Columns = dict[str, str | float | list[int] | None]

_SESSION: Final = Session(
    pid=1,
    leader_pid=None,
    backend_type="client backend",
    datname="shop",
    usename="app",
    application_name="gunicorn",
    client_addr="10.0.1.7",
    client_port=40001,
    state="idle",
    wait_event_type="Client",
    wait_event="ClientRead",
    backend_start=NOW - 600,
    xact_start=None,
    query_start=NOW - 20,
    state_change=NOW - 10,
    listening=None,
    wait_start=None,
    lock_wait=None,
    lock_mode=None,
    blockers=None,
    read_start=NOW - 0.25,
    seen_at=NOW,
)._asdict()

_STATEMENT: Final = StatementRow(
    userid=10,
    dbid=5,
    queryid=1,
    toplevel=True,
    datname="shop",
    usename="app",
    calls=1,
    seconds=1.0,
    rows=1,
    stats_since=None,
)._asdict()


def session(pid: int = 1, /, **changes: str | float | list[int] | None) -> Session:
    """Make an idle connection that differs in some columns."""
    return Session._make({**_SESSION, "pid": pid, **changes}.values())


def active(pid: int = 1, /, **changes: str | float | list[int] | None) -> Session:
    """Make a connection whose query runs on a processor."""
    running: Columns = {"state": "active", "wait_event_type": None, "wait_event": None}
    return session(pid, **{**running, **changes})


def waiting(pid: int = 1, /, **changes: str | float | list[int] | None) -> Session:
    """Make a connection that waits for a row lock."""
    wait: Columns = {"wait_event_type": "Lock", "wait_event": "transactionid"}
    lock: Columns = {"lock_wait": "(transactionid,77)", "lock_mode": "ShareLock"}
    return active(pid, **{**wait, **lock, **changes})


def activity(*sessions: Session, now: float = NOW, own_pid: int = -1) -> Activity:
    """Make a snapshot that was taken at a time."""
    seen = (s._replace(read_start=now - 0.25, seen_at=now) for s in sessions)
    return Activity(tuple(seen), own_pid)


def sighting(
    *sessions: Session,
    now: float = NOW,
    groups: Iterable[Group] = (),
    prepared: tuple[PreparedLock, ...] = (),
) -> Sighting:
    """Observe a snapshot of these and of a server process, with every label."""
    snapshot = activity(*sessions, session(0, backend_type="checkpointer"), now=now)
    snapshot = replace(snapshot, prepared=prepared)
    return Observer(Clients(tuple(groups)), LABELS).observe(snapshot)


def statement(queryid: int = 1, /, **changes: str | float | None) -> StatementRow:
    """Make an entry of pg_stat_statements that differs in some columns."""
    return StatementRow._make({**_STATEMENT, "queryid": queryid, **changes}.values())


def told(samples: Iterable[Sample]) -> dict[tuple[str, ...], float | Distribution]:
    """Give the values by metric and labels; each series may stand there once."""
    found: dict[tuple[str, ...], float | Distribution] = {}
    for metric, labels, value in samples:
        assert len(labels) == len(metric.labels)
        assert (metric.name, *labels) not in found
        found[metric.name, *labels] = value
    return found
