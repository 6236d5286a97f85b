"""One server at one moment, written by hand: what the golden exposition shows."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from exporter.collectors import PROBE, Options, StatementMeans
from exporter.collectors.polling import PollRecord
from exporter.diagnosis.clients import Group
from exporter.exposition import Sample
from exporter.reads import postgresql_reads
from exporter.snapshot import (
    Activity,
    Configuration,
    DatabaseRow,
    Databases,
    Limit,
    PreparedLock,
    ProbeResult,
    Replication,
    ReplicationSlot,
    Session,
    Settings,
    Statements,
    StatementsInfo,
    TcpTable,
    Timeout,
)
from tests.unit.rows import NOW, Columns, active, activity, session, statement, waiting

OWN_PID: Final = 114

OPTIONS: Final = Options(
    groups=(
        Group("api", (ip_network("10.0.1.0/24"),), ("gunicorn*",), ("app",)),
        Group("celery", (ip_network("2001:db8::/32"),)),
        Group("reports", (), ("metabase",)),
        Group("cron", ("local",)),
    ),
    pool_sizes={"api": 4, "reports": 5},
    request_timeouts={"api": 5.0},
    idle_timeouts={"api": 10.0},
    proc=True,
    statements_top=1,
    text_length=60,
)

# A session that ends between the two polls, and one that begins.
ENDING: Final = session(100)
BEGINNING: Final = waiting(
    103,
    backend_start=NOW - 0.5,
    xact_start=NOW - 4,
    query_start=NOW - 4,
    wait_start=NOW - 3.5,
    blockers=[104],
)

ODD_NAMES: Final[Columns] = {
    "datname": 'quo"ted',
    "usename": "back\\slash",
    "application_name": "new\nline über ✓",
}
CELERY: Final[Columns] = {
    "application_name": "celery",
    "usename": "jobs",
    "client_addr": "2001:db8::5",
}
NAMELESS: Final[Columns] = {
    "datname": None,
    "usename": None,
    "application_name": "",
    "client_addr": None,
    "client_port": None,
    "state": None,
    "query_start": None,
    "state_change": None,
}

SESSIONS: Final = (
    session(101, state_change=NOW - 12),
    # Its client was killed: the TCP table says so.
    active(102, client_port=40102, xact_start=NOW - 7, query_start=NOW - 7, state_change=NOW - 7),
    session(104, state="idle in transaction", xact_start=NOW - 80, state_change=NOW - 75),
    session(
        105,
        **CELERY,
        state="idle in transaction (aborted)",
        xact_start=NOW - 3,
        state_change=NOW - 2,
    ),
    active(106, **CELERY, state="fastpath function call", query_start=NOW - 0.25),
    session(
        107,
        state="disabled",
        usename="auditor",
        application_name="",
        query_start=None,
        state_change=None,
    ),
    # PostgreSQL 18 shows who is still logging in.
    session(108, **NAMELESS | {"client_addr": "10.0.9.9", "client_port": 5, "state": "starting"}),
    session(109, application_name="psql", usename="ops", client_addr=None, client_port=-1),
    session(
        110,
        **ODD_NAMES,
        state="active",
        wait_event_type="IPC",
        wait_event="SafeSnapshot",
        query_start=NOW - 1.5,
        xact_start=NOW - 1.5,
    ),
    # A parallel query whose workers wait for a lock: the leader's row alone does not say so.
    active(
        111,
        wait_event_type="IPC",
        wait_event="ExecuteGather",
        query_start=NOW - 6,
        xact_start=NOW - 6,
    ),
    waiting(
        112,
        backend_type="parallel worker",
        leader_pid=111,
        wait_start=NOW - 2,
        lock_wait="(advisory,7)",
        blockers=[0, 0],
    ),
    waiting(
        113,
        backend_type="parallel worker",
        leader_pid=111,
        wait_start=NOW - 1,
        lock_wait="(advisory,7)",
    ),
    active(
        OWN_PID,
        usename="monitor",
        datname="postgres",
        application_name="pgconn-exporter",
        client_addr="127.0.0.1",
        client_port=40114,
        query_start=NOW - 0.125,
        state_change=NOW - 0.125,
    ),
    session(1, **NAMELESS, backend_type="checkpointer"),
    waiting(
        2,
        **NAMELESS | {"datname": "shop", "state": "active"},
        backend_type="autovacuum worker",
        wait_start=NOW - 9,
    ),
    active(3, backend_type="walsender", usename="replica", datname=None),
)

SETTINGS: Final = Settings(
    version="18.6",
    in_recovery=False,
    postmaster_start=NOW - 86400.5,
    max_connections=100,
    superuser_reserved=3,
    reserved=2,
    rds_superuser_reserved=None,
)
DATABASES: Final = Databases(
    (Limit("database", "shop", 50), Limit("role", 'the "app"', 0)),
    (DatabaseRow("shop", 2, 1000, 86400.5, 1234.25, 99.5, 12, 3, 1),),
)
REPLICATION: Final = Replication(
    (
        ReplicationSlot("standby", "physical", active=True, retained_bytes=16_777_216.0),
        ReplicationSlot("lost", "logical", active=False, retained_bytes=None),
    ),
    wal_senders_used=1,
    wal_senders_max=10,
)
TIMEOUTS: Final = (
    Timeout("statement_timeout", "", "", 300.0),
    Timeout("statement_timeout", "shop", "jobs", 0.0),
    Timeout("idle_in_transaction_session_timeout", "", "", 60.0),
    Timeout("idle_session_timeout", "", "", 0.0),
    Timeout("transaction_timeout", "", "", 0.0),
    Timeout("client_connection_check_interval", "", "", 0.0),
    Timeout("tcp_keepalives_idle", "", "", 300.0),
    Timeout("tcp_keepalives_interval", "", "", 75.0),
    Timeout("tcp_keepalives_count", "", "", 9.0),
    Timeout("tcp_user_timeout", "", "", 0.0),
)
PREPARED: Final = PreparedLock("(advisory,7)", "ExclusiveLock", "730", "deploy", "shop", NOW - 90)
TCP: Final = TcpTable(
    frozenset({102, 103, 106, 111}),
    {
        ("10.0.1.7", 40001): "01",
        ("10.0.1.7", 40102): "08",
        ("10.0.9.9", 5): "01",
        ("127.0.0.1", 40114): "01",
        ("2001:db8::5", 40001): "01",
    },
    same_processes=True,
    titles={102: "postgres: app shop 10.0.1.7(40102) SELECT"},
)

NORMALISED: Final = (
    "SELECT *\n  FROM orders /* SECRET */ WHERE id = $1 AND kind = 'SECRET' ORDER BY created DESC"
)
TEXTS: Final = {
    -77: NORMALISED,
    2: "ALTER ROLE app PASSWORD 'SECRET'",
    3: 'INSERT INTO "odd\nname" VALUES ($1, $2)',
}
STATEMENTS_BEFORE: Final = (
    statement(-77, calls=100, seconds=50, rows=100),
    statement(-77, toplevel=False, calls=10, seconds=1, rows=10),
    statement(3, calls=5, seconds=0.5, rows=5),
)
STATEMENTS: Final = (
    statement(-77, calls=104, seconds=58, rows=104),
    statement(-77, toplevel=False, calls=10, seconds=1, rows=10),
    statement(2, calls=1, seconds=9.5, rows=0, usename=None),  # its role was dropped
    statement(3, calls=1005, seconds=10.5, rows=1005),
)


def read_samples() -> dict[str, list[Sample]]:
    """Give the samples of the second poll, by read."""
    activity_read, settings, databases, statements, replication = postgresql_reads(OPTIONS)
    list(activity_read.collect(snapshot(ENDING, at=NOW - 2)))
    return {
        "activity": list(activity_read.collect(snapshot(BEGINNING, at=NOW))),
        settings.name: list(settings.collect(Configuration(SETTINGS, TIMEOUTS))),
        databases.name: list(databases.collect(DATABASES)),
        statements.name: statement_samples(),
        replication.name: list(replication.collect(REPLICATION)),
        "probe": probe_samples(),
        "polling": list(polls().samples()),
    }


def snapshot(*others: Session, at: float) -> Activity:
    """Give the sessions at a time."""
    seen = activity(*others, *SESSIONS, now=at, own_pid=OWN_PID)
    return replace(seen, prepared=(PREPARED,), tcp=TCP)


def statement_samples() -> list[Sample]:
    """Look twice, and give the samples of the second look."""
    means = StatementMeans(OPTIONS)
    means.choose(NOW - 30, STATEMENTS_BEFORE)
    wanted = means.choose(NOW, STATEMENTS)
    texts = {queryid: TEXTS[queryid] for queryid in wanted}
    return list(means.collect(Statements(NOW, STATEMENTS, StatementsInfo(7, NOW - 3600), texts)))


def probe_samples() -> list[Sample]:
    """Probe twice, in vain the second time."""
    (collector,) = (make(OPTIONS) for make in PROBE)
    list(collector.collect(ProbeResult(success=True, at=NOW - 15, seconds=0.004)))
    refused = ProbeResult(success=False, at=NOW, seconds=0.002, sqlstate="53300")
    return list(collector.collect(refused))


def polls() -> PollRecord:
    """Give what became of the polls."""
    record = PollRecord()
    record.polled("activity", 0.25)
    record.polled("activity", 0.5)
    record.polled("statements", 5.0)
    record.errors["statements", "missing_extension"] += 1
    record.last_success["activity"] = NOW
    record.intervals.update(activity=1.25, statements=30.0)
    return record
