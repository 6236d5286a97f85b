"""Situations in which nobody is to blame, staged for real: each holds as long as its context.

Most look like one in which somebody is: they last longer than their client's limits, or hold
locks. The limits stand in `CLIENTS`, as a careful user would write them.
"""

import asyncio
import contextlib
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from tests.integration.pgbouncer import PgBouncer
from tests.integration.replicas import await_replayed, subscription
from tests.integration.staging import LOCK_ROW, MONITOR, Client, Stage
from tests.integration.victims import How, victim
from tests.integration.watching import watching
from tools import pgbench

LONGER_THAN_SHORT: Final = 0.6
"""More seconds than the shortest of the limits."""

CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "api"}}
    | {"request_timeout": "30s", "idle_timeout": "60s"},
    {"name": "pgbench", "match": {"application_name": "pgbench"}}
    | {"request_timeout": "5s", "idle_timeout": "5s"},
    {"name": "brisk", "match": {"application_name": "brisk"}}
    | {"request_timeout": "500ms", "idle_timeout": "500ms"},
    {"name": "batch", "match": {"application_name": "batch"}},
    {"name": "people", "match": {"usename": "postgres"}, "idle_timeout": "1h"},
]
SETTINGS: Final = {
    "clients": CLIENTS,
    "proc": True,
    # For whom no client is configured; ourselves among them.
    "orphans": {"idle_after": "500ms"},
}

API: Final = Client("app", "api", "127.0.0.51")
BRISK: Final = Client("app", "brisk")
BATCH: Final = Client("reports", "batch")


@dataclass(frozen=True, slots=True)
class Ground:
    """A primary that can do everything, its standby, and what is watched by name besides."""

    stage: Stage
    standby: Stage
    pool: PgBouncer


Situation = Callable[[Ground], AbstractAsyncContextManager[None]]


# --- Applications


@asynccontextmanager
async def pool_at_rest(ground: Ground) -> AsyncIterator[None]:
    """Let a pool keep connections, for less time than it is configured to."""
    sessions = await ground.stage.open(API, count=10)
    await ground.stage.aged(sessions, LONGER_THAN_SHORT)
    yield


@asynccontextmanager
async def pool_behind_pgbouncer(ground: Ground) -> AsyncIterator[None]:
    """Let a PgBouncer keep connections for longer than the pools of its clients would."""
    try:
        for _ in range(4):
            session = await ground.pool.connect(BRISK)
            await session.run("SELECT 1")
        await ground.stage.until(
            "count(*) > 0 AND bool_and(clock_timestamp() - state_change > '0.6 s')"
            " FROM pg_stat_activity WHERE application_name = 'brisk' AND state = 'idle'"
        )
        yield
    finally:
        await ground.pool.disconnect()


def running_pgbench(*arguments: str) -> Situation:
    """Give a situation in which pgbench runs with these arguments."""

    @asynccontextmanager
    async def situation(ground: Ground) -> AsyncIterator[None]:
        with pgbench_process(ground.stage, *arguments):
            await ground.stage.until(
                "count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgbench'"
            )
            yield

    return situation


@contextlib.contextmanager
def pgbench_process(stage: Stage, *arguments: str) -> Iterator[None]:
    """Run pgbench's clients."""
    command = [str(pgbench.fetch()), "--client=4", "--time=3600", "--no-vacuum", *arguments]
    process = subprocess.Popen(
        [*command, stage.dsn(Client("postgres", "pgbench"))], stdout=subprocess.DEVNULL
    )
    try:
        yield
        assert process.poll() is None, "pgbench has ended"
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def connections_come_and_go(ground: Ground) -> AsyncIterator[None]:
    """Let an application without a pool connect for each statement."""
    dsn, ended = ground.stage.dsn(API), asyncio.Event()

    async def come_and_go() -> None:
        while not ended.is_set():
            async with await psycopg.AsyncConnection.connect(dsn) as connection:
                await connection.execute("SELECT 1")

    tasks = [asyncio.create_task(come_and_go()) for _ in range(4)]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*tasks)


@asynccontextmanager
async def logging_in(ground: Ground) -> AsyncIterator[None]:
    """Leave a client that has not given its password yet."""
    server = ground.stage.cluster
    server.write_hba(["host all celery 127.0.0.0/8 scram-sha-256"])
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            wishes = b"user\0celery\0database\0shop\0\0"
            client.sendall(struct.pack("!ii", len(wishes) + 8, 3 << 16) + wishes)
            assert await asyncio.to_thread(client.recv, 1) == b"R"  # it asks for the password
            await asyncio.sleep(LONGER_THAN_SHORT)  # before 18 the server shows nothing of it
            yield
    finally:
        server.write_hba(())


@asynccontextmanager
async def listening(ground: Ground) -> AsyncIterator[None]:
    """Let sessions wait for notifications, which may come or not."""
    sessions = await ground.stage.open(BRISK, count=2)
    await sessions[0].run("LISTEN orders")
    await sessions[1].run("\n  listen payments;")
    await ground.stage.aged(sessions, LONGER_THAN_SHORT)
    yield


@asynccontextmanager
async def job_queue(ground: Ground) -> AsyncIterator[None]:
    """Let workers take their rows without waiting for one another."""
    for _ in range(4):
        [worker] = await ground.stage.open(API, "idle in transaction")
        await worker.run("SELECT * FROM stock LIMIT 1 FOR UPDATE SKIP LOCKED")
    yield


def from_address(address: str) -> Situation:
    """Give a situation in which sessions from an address wait, and work."""

    @asynccontextmanager
    async def situation(ground: Ground) -> AsyncIterator[None]:
        client = Client("app", "api", address)
        sessions = await ground.stage.open(client)
        sessions += await ground.stage.open(client, "active")
        sessions += await ground.stage.open(client, "idle in transaction")
        await ground.stage.aged(sessions, LONGER_THAN_SHORT)
        yield

    return situation


@asynccontextmanager
async def not_tracked(ground: Ground) -> AsyncIterator[None]:
    """Open sessions with track_activities off: nobody knows what they do."""
    sessions = await ground.stage.open(BRISK, "disabled", count=2)
    sessions[0].begin("SELECT pg_sleep(3600)")
    await ground.stage.aged(sessions, LONGER_THAN_SHORT, "backend_start")
    yield


@asynccontextmanager
async def with_children(ground: Ground) -> AsyncIterator[None]:
    """Run a client with a child that inherited its socket."""
    async with client_process(ground, "SELECT pg_sleep(3600)", "has a child", "'PgSleep'"):
        yield


# --- Long work, and what it holds


@asynccontextmanager
async def client_process(
    ground: Ground, query: str, how: How, wait_event: str
) -> AsyncIterator[None]:
    """Run a query in a process of its own; it has no limit of time."""
    stage = ground.stage
    async with victim(stage.dsn(BATCH), query, how) as process:
        condition = f"count(*) = 1 FROM pg_stat_activity WHERE wait_event = {wait_event}"
        await stage.until(condition + " AND pid = %s", [process.pid])
        try:
            yield
        finally:
            await stage.execute("SELECT pg_terminate_backend(%s)", [process.pid])


@asynccontextmanager
async def slow_reader(ground: Ground) -> AsyncIterator[None]:
    """Let a query wait until its client has taken more rows."""
    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 1000000)"
    async with client_process(ground, rows, "reads nothing", "'ClientWrite'"):
        yield


@asynccontextmanager
async def copy_out(ground: Ground) -> AsyncIterator[None]:
    """Begin a long COPY, which goes on as its client reads."""
    session = await ground.stage.connect(BATCH)
    rows = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000000)) TO STDOUT"
    async with session.connection.cursor() as cursor, cursor.copy(rows) as copy:
        assert await anext(aiter(copy))
        await ground.stage.shows([session], "state = 'active'")
        await ground.stage.aged([session], LONGER_THAN_SHORT)
        yield


@asynccontextmanager
async def copy_in(ground: Ground) -> AsyncIterator[None]:
    """Let a long COPY wait for more rows."""
    session = await ground.stage.connect(BATCH)
    async with session.connection.cursor() as cursor, cursor.copy("COPY stock FROM STDIN"):
        await ground.stage.shows([session], "state = 'active' AND wait_event = 'ClientRead'")
        await ground.stage.aged([session], LONGER_THAN_SHORT)
        yield


@asynccontextmanager
async def held_cursor(ground: Ground) -> AsyncIterator[None]:
    """Let a cursor outlive its transaction."""
    [session] = await ground.stage.open(API, "idle in transaction")
    await session.run("DECLARE held CURSOR WITH HOLD FOR SELECT * FROM stock")
    await session.run("COMMIT")
    await ground.stage.aged([session], LONGER_THAN_SHORT)
    yield


@asynccontextmanager
async def open_cursor(ground: Ground) -> AsyncIterator[None]:
    """Read a cursor in a transaction that has been idle for a short time only."""
    [session] = await ground.stage.open(API, "idle in transaction")
    await session.run("DECLARE opened CURSOR FOR SELECT * FROM stock FOR UPDATE")
    await session.run("FETCH 10 FROM opened")
    yield


@asynccontextmanager
async def dump(ground: Ground) -> AsyncIterator[None]:
    """Let a backup read everything in one long transaction."""
    [session] = await ground.stage.open(BATCH)
    await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await session.run("LOCK TABLE stock IN ACCESS SHARE MODE")
    session.begin("SELECT pg_sleep(3600) FROM stock")
    await ground.stage.aged([session], LONGER_THAN_SHORT, "xact_start")
    yield


@asynccontextmanager
async def create_index(ground: Ground) -> AsyncIterator[None]:
    """Make an index on a large table that nobody writes meanwhile."""
    name = await ground.stage.database("indexed")
    slow = "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS"
    body = "$$ BEGIN PERFORM pg_sleep(3600); RETURN $1; END $$"
    await ground.stage.in_database(name, f"CREATE TABLE items AS SELECT 1 AS id; {slow} {body}")
    client = Client("postgres", "batch", dbname=name)
    [session] = await ground.stage.open(client, "active", query="CREATE INDEX ON items (slow(id))")
    await ground.stage.shows([session], "wait_event = 'PgSleep'")
    yield


@asynccontextmanager
async def parallel_query(ground: Ground) -> AsyncIterator[None]:
    """Run a parallel query, whose workers are no connections."""
    name = await ground.stage.parallel_database()
    client = Client("reports", "batch", dbname=name)
    session = await ground.stage.in_parallel(client, "SELECT sum(rest(id)) FROM many")
    await ground.stage.aged([session], LONGER_THAN_SHORT)
    yield


@asynccontextmanager
async def advisory_locks(ground: Ground) -> AsyncIterator[None]:
    """Elect a leader by a lock, for which the others ask without waiting."""
    leader, *others = await ground.stage.open(API, count=3)
    await leader.run("SELECT pg_advisory_lock(42)")
    for other in others:
        await other.run("SELECT pg_try_advisory_lock(42)")
    yield


@asynccontextmanager
async def prepared_transaction(ground: Ground) -> AsyncIterator[None]:
    """Leave a prepared transaction whose locks nobody waits for."""
    await ground.stage.prepared_transaction("in two phases", API)
    yield


# --- The server's own work, and replication


async def write(ground: Ground) -> None:
    """Change a row, for all who replicate it."""
    await ground.stage.in_database("shop", LOCK_ROW)


@asynccontextmanager
async def autovacuum(ground: Ground) -> AsyncIterator[None]:
    """Have autovacuum sweep a table."""
    name = await ground.stage.database("swept")
    await ground.stage.in_database(name, SLOWLY_SWEPT)
    await ground.stage.in_database(name, "DELETE FROM swept")
    working = "FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND datname = 'swept'"
    try:
        await ground.stage.until(f"count(*) > 0 {working} AND query LIKE '%% public.swept%%'", ())
        yield
    finally:
        await ground.stage.in_database(name, "ALTER TABLE swept SET (autovacuum_enabled = off)")
        await ground.stage.execute(f"SELECT pg_terminate_backend(pid) {working}")


SLOWLY_SWEPT: Final = """
CREATE TABLE swept WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)
AS SELECT id, repeat('x', 1000) FROM generate_series(1, 5000) AS id
"""


@asynccontextmanager
async def background_worker(ground: Ground) -> AsyncIterator[None]:
    """See that the server has a background worker, which waits for work."""
    launcher = "backend_type = 'logical replication launcher'"
    await ground.stage.until(f"count(*) = 1 FROM pg_stat_activity WHERE {launcher}")
    yield


@asynccontextmanager
async def streaming(ground: Ground) -> AsyncIterator[None]:
    """Stream changes to a standby, which replays them."""
    await write(ground)
    await asyncio.to_thread(await_replayed, ground.stage.cluster, ground.standby.cluster)
    await ground.stage.until("count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'walsender'")
    yield


@asynccontextmanager
async def idle_walsender(ground: Ground) -> AsyncIterator[None]:
    """Open a replication connection that has not been told to stream yet."""
    dsn = ground.stage.cluster.dsn(replication="true", application_name="brisk")
    connection = psycopg.pq.PGconn.connect(dsn.encode())
    assert not connection.exec_(b"IDENTIFY_SYSTEM").error_message
    try:
        await ground.stage.until(
            "count(*) = 1 FROM pg_stat_activity WHERE pid = %s AND backend_type = 'walsender'"
            " AND state = 'idle' AND clock_timestamp() - state_change > '0.6 s'",
            [connection.backend_pid],
        )
        yield
    finally:
        connection.finish()


@asynccontextmanager
async def readers_of_a_standby(ground: Ground) -> AsyncIterator[None]:
    """Read from a standby while its primary writes."""
    there = ground.standby
    sessions = await there.open(API)
    sessions += await there.open(API, "idle in transaction", query="SELECT * FROM stock")
    sessions += await there.open(BATCH, "active")
    await write(ground)
    await there.aged(sessions, LONGER_THAN_SHORT)
    yield


@asynccontextmanager
async def logical_replication(ground: Ground) -> AsyncIterator[None]:
    """Have a subscription apply what is written."""
    with ExitStack() as undo:
        server = ground.stage.cluster
        await asyncio.to_thread(undo.enter_context, subscription(server))
        await write(ground)
        yield


@asynccontextmanager
async def second_exporter(ground: Ground) -> AsyncIterator[None]:
    """Have another of us look seldom; it is idle in between."""
    dsn = ground.stage.cluster.dsn(user=MONITOR)
    async with watching({"seldom": dsn}, intervals={"activity": "1h", "settings": "1h"}):
        await ground.stage.until(
            "count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pgconn-exporter'"
            " AND state = 'idle' AND clock_timestamp() - state_change > '0.6 s'"
        )
        yield


HARMLESS: Final[Mapping[str, Situation]] = {
    "pool at rest": pool_at_rest,
    "pool behind PgBouncer": pool_behind_pgbouncer,
    "pgbench, reading": running_pgbench("--select-only", "--rate=500"),
    "pgbench, connecting": running_pgbench("--select-only", "--rate=100", "--connect"),
    "connections come and go": connections_come_and_go,
    "logging in": logging_in,
    "LISTEN": listening,
    "job queue": job_queue,
    "Unix socket": from_address("local"),
    "IPv6": from_address("::1"),
    "behind a forwarder": from_address("127.0.0.52"),
    "not tracked": not_tracked,
    "with children": with_children,
    "slow reader": slow_reader,
    "COPY TO": copy_out,
    "COPY FROM": copy_in,
    "cursor WITH HOLD": held_cursor,
    "cursor in a transaction": open_cursor,
    "dump": dump,
    "CREATE INDEX": create_index,
    "parallel query": parallel_query,
    "advisory locks": advisory_locks,
    "prepared transaction": prepared_transaction,
    "autovacuum": autovacuum,
    "background worker": background_worker,
    "streaming": streaming,
    "idle walsender": idle_walsender,
    "readers of a standby": readers_of_a_standby,
    "logical replication": logical_replication,
    "second exporter": second_exporter,
}
