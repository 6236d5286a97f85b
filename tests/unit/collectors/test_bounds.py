"""Names that never end: what is kept from one poll to the next is bounded, and so is the page."""

import gc
import tracemalloc
from collections.abc import Iterator

from exporter.collectors import METRICS, Options, StatementMeans
from exporter.diagnosis.clients import Group
from exporter.exposition import Exposition, Format
from exporter.reads.postgresql import ActivityRead
from exporter.snapshot import Session, Statements
from tests.unit.pages import read
from tests.unit.rows import NOW, activity, session, statement

LIMIT = 50
SESSIONS = 250
POLLS = 40  # 10,000 names of each kind
OPTIONS = Options(groups=(Group("api", (), ("api*",), ()),), max_series=LIMIT)


def strangers(poll: int) -> Iterator[Session]:
    """Make sessions of which none has a name that was there before, in any column."""
    for number in range(SESSIONS):
        name = f"{poll}-{number}"
        yield session(
            poll * SESSIONS + number,
            state="active" if number % 2 else "idle in transaction",
            application_name=f"api {name}",
            usename=f"role {name}",
            datname=f"database {name}",
            client_addr=f"10.{poll}.{number // 250}.{number % 250}",
            wait_event_type="Extension",
            wait_event=f"event {name}",
            backend_start=NOW + poll,
            xact_start=NOW + poll,
        )
    yield session(0, backend_type="checkpointer")


class Attacked:
    """A target whose clients call themselves by a new name each time."""

    def __init__(self) -> None:
        self.exposition = Exposition(METRICS)
        self.exposition.watch("demo", "activity")
        self.activity = ActivityRead(OPTIONS, ())
        self.statements = StatementMeans(OPTIONS)

    def poll(self, number: int) -> None:
        """See other sessions, and other statements."""
        snapshot = activity(*strangers(number), now=NOW + number)
        samples = self.activity.collect(snapshot)
        self.exposition.publish("demo", "activity", samples, max_series=LIMIT)
        rows = tuple(
            statement(number * SESSIONS + n, datname=f"d {number} {n}", seconds=n)
            for n in range(SESSIONS)
        )
        needed = self.statements.choose(NOW + number, rows, None)
        seen = Statements(NOW + number, rows, None, dict.fromkeys(needed, "SELECT a FROM t"))
        self.exposition.publish(
            "demo", "statements", self.statements.collect(seen), max_series=LIMIT
        )


def kept(attacked: Attacked, polls: range) -> int:
    """Give the bytes that are held after some polls."""
    for number in polls:
        attacked.poll(number)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_memory_does_not_grow_with_the_names() -> None:
    """After 10,000 names of each kind, we hold what we held after the first thousands."""
    attacked = Attacked()
    tracemalloc.start()
    try:
        early = kept(attacked, range(10))
        late = kept(attacked, range(10, POLLS))
    finally:
        tracemalloc.stop()
    # What a poll leaves behind of each name, were it as little as the name itself, is 0.5 MB.
    assert late - early < 100_000


def test_every_metric_is_within_the_limit() -> None:
    """No metric has more series than allowed, and what is folded is counted; sums stay true."""
    attacked = Attacked()
    for number in range(3):
        attacked.poll(number)
    page = read(attacked.exposition.page(Format.TEXT))
    counts: dict[str, int] = {}
    for series in page:
        counts[series.name] = counts.get(series.name, 0) + 1
    assert max(counts.values()) <= LIMIT
    folded = {dict(s.labels)["metric"] for s in page if s.name == "pgconn_series_folded"}
    assert folded >= {
        "pgconn_connections",
        "pgconn_connection_state_age_max_seconds",
        "pgconn_connection_age_max_seconds",
        "pgconn_transaction_age_max_seconds",
        "pgconn_session_seconds_total",
        "pgconn_query_age_max_seconds",
        "pgconn_database_connections",
        "pgconn_role_connections",
    }
    for name in ("pgconn_connections", "pgconn_database_connections", "pgconn_role_connections"):
        assert sum(value for s, value in page.items() if s.name == name) == SESSIONS
    # Two polls with a second between them, and each of the sessions at work.
    load = (value for s, value in page.items() if s.name == "pgconn_session_seconds_total")
    assert sum(load) == 2 * SESSIONS
    assert len(attacked.exposition.page(Format.TEXT)) < 200_000
