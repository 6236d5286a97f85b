"""The reads of a target: which snapshots they turn into which samples."""

import pytest

from exporter.collectors import METRICS, Options, StatementMeans
from exporter.diagnosis.clients import Group
from exporter.reads import ACTIVITY_READ, Read, postgresql_reads
from exporter.reads.postgresql import ActivityRead
from exporter.server.connection import Connection
from exporter.snapshot import Activity, Statements
from exporter.targets import collector_options
from tests.unit.config.helpers import target
from tests.unit.rows import NOW, active, activity, session, statement, told

OPTIONS = Options((Group("api", (), (), ("app",)),))
OURS = active(7, application_name="pgconn-exporter")
HIDDEN = session(2, backend_type=None, backend_start=None, state=None, state_change=None)


def total(read: ActivityRead, snapshot: Activity, name: str, *labels: str) -> object:
    """Give one value of what a read makes of a snapshot."""
    return told(read.collect(snapshot)).get((name, *labels))


def test_the_reads() -> None:
    """The activity comes first: it opens the connection."""
    names = [read.name for read in postgresql_reads(OPTIONS)]
    assert names == [ACTIVITY_READ, "settings", "databases", "statements", "replication"]


def test_defaults() -> None:
    """Collectors of a target without any settings work as the configuration says."""
    assert collector_options(target("")) == Options()


def test_each_metric_is_yielded_by_what_declares_it() -> None:
    """No sample of the activity is of a metric that the page does not know."""
    samples = ActivityRead(OPTIONS, ()).collect(activity(session(1), OURS, own_pid=7))
    assert {sample.metric for sample in samples} <= set(METRICS)


def test_hidden_sessions_are_not_zeros() -> None:
    """Where other roles' sessions are hidden, that is all that is told."""
    snapshot = activity(HIDDEN, OURS, own_pid=7)
    assert told(ActivityRead(OPTIONS, ()).collect(snapshot)) == {("pgconn_privileges_limited",): 1}
    seen = told(ActivityRead(OPTIONS, ()).collect(activity(session(2), OURS, own_pid=7)))
    assert seen["pgconn_privileges_limited",] == 0
    assert seen["pgconn_client_connections", "api"] == 1
    assert seen["pgconn_client_connections", "pgconn-exporter"] == 1


@pytest.mark.parametrize("hidden", [True, False])
def test_after_hidden_sessions_nothing_was_opened(*, hidden: bool) -> None:
    """Sessions that were hidden for a while were there all the time, for all we know."""
    read = ActivityRead(OPTIONS, ())
    list(read.collect(activity(session(1), OURS, own_pid=7)))
    if hidden:
        list(read.collect(activity(HIDDEN, OURS, own_pid=7)))
    after = activity(session(1), session(2), OURS, own_pid=7)
    opened = total(read, after, "pgconn_connections_opened_total", "api")
    assert opened == (0 if hidden else 1)


def test_interruption_reaches_every_collector() -> None:
    """After a failed poll neither churn nor load counts what was not seen."""
    read = ActivityRead(OPTIONS, ())
    list(read.collect(activity(OURS, own_pid=7, now=NOW - 60)))
    read.interrupt()
    found = told(read.collect(activity(active(1), OURS, own_pid=7)))
    assert found["pgconn_connections_opened_total", "api"] == 0
    assert found["pgconn_session_seconds_total", "api", "active", "", ""] == 0


def test_every_read_is_interrupted() -> None:
    """The collectors of any read learn that a poll failed."""
    means = StatementMeans(OPTIONS)
    read = Read("statements", never, [means])
    means.choose(NOW, (statement(calls=1),))
    read.interrupt()
    means.choose(NOW + 30, (statement(calls=9),))
    found = told(read.collect(Statements(NOW + 30, (), None)))
    assert ("pgconn_statement_calls_total", "shop", "app", "1") in found
    assert ("pgconn_statement_recent_mean_seconds", "shop", "app", "1") not in found


async def never(connection: Connection) -> Statements:
    """Stand for a fetch, which needs a server."""
    raise NotImplementedError(connection)


@pytest.mark.parametrize(("elapsed", "cost"), [(0.1, 0.1), (3.0, 0.25)])
def test_what_a_poll_costs_the_server(elapsed: float, cost: float) -> None:
    """The activity read takes the server's word, and never more than what passed here."""
    assert ActivityRead(OPTIONS, ()).server_seconds(activity(OURS), elapsed) == cost
    settings = postgresql_reads(OPTIONS)[1]
    assert settings.server_seconds(None, elapsed) == elapsed
