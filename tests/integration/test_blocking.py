"""Who blocks whom is told by the sessions at the root, with everybody who waits behind them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, LiteralString

import pytest
from psycopg import sql

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.replicas import await_replayed, primary, standby, subscription
from tests.integration.staging import (
    HOLDER,
    LOCK_ROW,
    MONITOR,
    WAITER,
    Client,
    Session,
    Stage,
    Statement,
)
from tests.integration.watching import Scrape, Watch, watching

ROOTS: Final = "pgconn_root_blockers"
VICTIMS: Final = "pgconn_root_blocker_victims"
AGE: Final = "pgconn_root_blocker_age_max_seconds"
DEPTH: Final = "pgconn_blocking_depth_max"
BLOCKED: Final = "pgconn_blocked_connections"
WAIT: Final = "pgconn_lock_wait_max_seconds"

IN_TRANSACTION: Final = "idle in transaction"
OWNER: Final = Client("postgres", "owner", "127.0.0.41")
CLIENTS: Final = [
    {"name": "api", "match": {"application_name": "gunicorn*"}},
    {"name": "owners", "match": {"usename": "postgres"}},
]

Series = frozenset[tuple[str, str]]


def root(who: Client = HOLDER, state: str = IN_TRANSACTION, client: str = "other") -> Series:
    """Give all labels of a root blocker's series."""
    labels = {
        "target": "demo",
        "client": client,
        "client_addr": who.client_addr,
        "usename": who.user,
        "application_name": who.application_name,
        "datname": who.dbname,
        "state": state,
    }
    return frozenset(labels.items())


def victims(scrape: Scrape) -> dict[Series, float]:
    """Give the victims of each series of roots, which are one session each."""
    found = scrape.all(VICTIMS)
    assert scrape.all(ROOTS) == dict.fromkeys(found, 1), scrape.text
    return found


def blocked(scrape: Scrape) -> float:
    """Give how many connections wait."""
    return sum(scrape.all(BLOCKED).values())


async def transaction_age(stage: Stage, session: Session) -> float:
    """Give the age of a session's transaction."""
    [(seconds,)] = await stage.fetch(
        "SELECT extract(epoch FROM clock_timestamp() - xact_start)::float8"
        " FROM pg_stat_activity WHERE pid = %s",
        [session.pid],
    )
    return float(seconds)


async def waiting(stage: Stage, who: Client, statement: Statement) -> Session:
    """Let a session wait for a lock with a statement."""
    session = await stage.connect(who)
    session.begin(statement)
    await stage.waits_for_lock([session])
    return session


@pytest.fixture
def demo(cluster: Cluster) -> AbstractAsyncContextManager[Watch]:
    """Watch the common server."""
    return watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS)


async def test_nobody_waits(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """Whoever holds locks that nobody waits for is no root; the depth is 0."""
    await stage.open(HOLDER, "idle in transaction", query=LOCK_ROW)
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {}
        assert scrape.value(DEPTH) == 0


async def test_pile_up(new_cluster: NewCluster) -> None:
    """Behind one row lock wait 100 sessions: one root, 100 victims, its labels and its age."""
    server = new_cluster(max_connections="130")
    async with Stage(server) as stage:
        [holder] = await stage.open(HOLDER, "idle in transaction", query=LOCK_ROW)
        waiters = [await stage.connect(WAITER) for _ in range(100)]
        for session in waiters:
            session.begin(LOCK_ROW)
        await stage.waits_for_lock(waiters)
        async with watching({"demo": server.dsn(user=MONITOR)}, clients=CLIENTS) as watch:
            before = await transaction_age(stage, holder)
            scrape = await watch.after_poll()
            after = await transaction_age(stage, holder)
            assert victims(scrape) == {root(): 100}
            assert before <= (scrape.value(AGE) or 0) <= after
            assert scrape.table(BLOCKED, "client", "usename") == {("api", "app"): 100}
            # Whoever waits for the first in the row, and those who queue behind it.
            assert scrape.value(DEPTH) == 2
            await holder.run("ROLLBACK")
            # Whoever has the row next is a root meanwhile, and one may follow another in a poll.
            await watch.until(lambda s: not s.all(VICTIMS) and s.value(DEPTH) == 0)


async def test_chain(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """In a chain only the first is a root: those in the middle block others, but wait."""
    chain = await stage.chain(4)
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(): 4}
        assert scrape.value(DEPTH) == 4
        assert blocked(scrape) == 4
        await chain.holder.run("ROLLBACK")
        # Now the next one holds what the others wait for.
        await stage.shows(chain.waiters[:1], "state = 'idle in transaction'")
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(WAITER, client="api"): 3}
        assert scrape.value(DEPTH) == 3


async def test_readers_behind_a_migration(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """A forgotten reader blocks ALTER TABLE, which blocks new readers: the reader is the root."""
    await stage.open(HOLDER, "idle in transaction", query="SELECT * FROM stock")
    await waiting(stage, OWNER, "ALTER TABLE stock ALTER quantity SET NOT NULL")
    for _ in range(3):
        await waiting(stage, WAITER, "SELECT * FROM stock")
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(): 4}
        assert scrape.value(DEPTH) == 2


async def test_prepared_transaction(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """A forgotten prepared transaction has no session; it is a root by its owner and database."""
    await stage.prepared_transaction("forgotten")
    await stage.queue(3)
    async with demo as watch:
        age: LiteralString = (
            "SELECT extract(epoch FROM clock_timestamp() - prepared)::float8 FROM pg_prepared_xacts"
        )
        before = await stage.fetch(age)
        scrape = await watch.after_poll()
        after = await stage.fetch(age)
        who = Client("deploy", "", "", "shop")
        assert victims(scrape) == {root(who, "prepared", "prepared transaction"): 3}
        assert before[0][0] <= (scrape.value(AGE) or 0) <= after[0][0]
        assert scrape.value(DEPTH) == 2


async def test_prepared_transaction_of_a_table(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """Of two prepared transactions the one is a root whose lock is in the way."""
    await stage.prepared_transaction("in the way")
    [other] = await stage.open(Client("celery"), "idle in transaction", query="SELECT 1")
    await other.run("SELECT * FROM pg_class LIMIT 1")
    await other.run("PREPARE TRANSACTION 'elsewhere'")
    try:
        await waiting(stage, OWNER, "BEGIN; LOCK TABLE stock IN SHARE MODE")
        async with demo as watch:
            who = Client("deploy", "", "", "shop")
            expected = {root(who, "prepared", "prepared transaction"): 1}
            assert victims(await watch.after_poll()) == expected
    finally:
        await stage.in_database("shop", "ROLLBACK PREPARED 'elsewhere'")


# --- Parallel queries


@pytest.mark.parametrize("leading", [True, False])
async def test_parallel_query_waits(
    stage: Stage, demo: AbstractAsyncContextManager[Watch], *, leading: bool
) -> None:
    """A parallel query is one victim, though its workers wait, with its leader or for them."""
    parallel = await stage.parallel_database()
    who = Client("deploy", "migration", dbname=parallel)
    [holder] = await stage.open(who, "idle in transaction")
    await holder.run("SELECT pg_advisory_xact_lock(4712)")
    reader = Client("reports", "gunicorn", dbname=parallel)
    session = await stage.in_parallel(reader, "SELECT sum(lock(id)) FROM many", leading=leading)
    await stage.until(
        "count(*) = 2 FROM pg_stat_activity WHERE leader_pid = %s AND wait_event_type = 'Lock'",
        [session.pid],
    )
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(who): 1}
        assert scrape.table(BLOCKED, "client", "usename") == {("api", "reports"): 1}
        assert scrape.value(DEPTH) == 1


async def test_parallel_query_blocks(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """A parallel query whose workers hold the lock is one root, by its leader."""
    parallel = await stage.parallel_database()
    reader = Client("reports", "gunicorn", "127.0.0.12", parallel)
    await stage.in_parallel(reader, "SELECT sum(rest(id)) FROM many")
    await waiting(stage, Client("postgres", dbname=parallel), "ALTER TABLE many ADD more int")
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(reader, "active", "api"): 1}


# --- Cycles, several roots, other kinds of locks


async def test_deadlock_before_it_is_found(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """A deadlock that PostgreSQL has not resolved yet has no root; whoever waits is counted."""
    lock = sql.SQL("SELECT pg_advisory_xact_lock({})")
    sessions = await stage.open(OWNER, "idle in transaction", count=3)
    for number, session in enumerate(sessions):
        await session.run("SET LOCAL deadlock_timeout = '1h'")
        await session.run(lock.format(number))
    first, second, third = sessions
    first.begin(lock.format(1))
    second.begin(lock.format(0))
    third.begin(lock.format(0))
    await stage.waits_for_lock(sessions)
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {}
        assert blocked(scrape) == 3
        assert scrape.value("pgconn_up") == 1
        assert (scrape.value(DEPTH) or 0) >= 2


async def test_two_roots(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """Each root has its own victims; those that wait for both count for both."""
    second = Client("reports", "report", "127.0.0.32")
    for who in (HOLDER, second):
        await stage.open(who, "idle in transaction", query="SELECT * FROM stock")
    await stage.pile_up(2, Client("celery", "beat"), WAITER)
    await waiting(stage, OWNER, "BEGIN; LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
    async with demo as watch:
        expected = {root(HOLDER): 1, root(second): 1}
        scrape = await watch.after_poll()
        third = root(Client("celery", "beat"))
        # Its update holds the table as well, and those who queue for its row do.
        assert victims(scrape) == expected | {third: 3}
        assert blocked(scrape) == 3


async def test_alike_roots_are_one_series(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """Roots that have the same labels are counted together, as are their victims."""
    lock = sql.SQL("SELECT pg_advisory_xact_lock({})")
    for number, holder in enumerate(await stage.open(HOLDER, "idle in transaction", count=2)):
        await holder.run(lock.format(number))
        for _ in range(number + 1):
            await waiting(stage, WAITER, lock.format(number))
    async with demo as watch:
        scrape = await watch.after_poll()
        assert scrape.all(ROOTS) == {root(): 2}
        assert scrape.all(VICTIMS) == {root(): 3}


async def test_lock_of_the_session(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """A root may be idle, outside of any transaction: it has no age then."""
    [holder] = await stage.open(HOLDER)
    await holder.run("SELECT pg_advisory_lock(7, 7)")
    await waiting(stage, WAITER, "SELECT pg_advisory_lock_shared(7, 7)")
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(state="idle"): 1}
        assert scrape.all(AGE) == {}


async def test_create_index_concurrently(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """It waits for old transactions to end, not for a lock on anything that they hold."""
    name = await stage.database("indexed")
    await stage.in_database(name, "CREATE TABLE items AS SELECT 1 AS id")
    holder = Client("postgres", "old", "127.0.0.33", name)
    await stage.open(holder, "idle in transaction", query="UPDATE items SET id = 2")
    creator = Client("postgres", "creator", dbname=name)
    session = await waiting(stage, creator, "CREATE INDEX CONCURRENTLY ON items (id)")
    await stage.shows([session], "wait_event = 'virtualxid'")
    async with demo as watch:
        assert victims(await watch.after_poll()) == {root(holder, client="owners"): 1}


async def test_safe_snapshot(stage: Stage, demo: AbstractAsyncContextManager[Watch]) -> None:
    """A deferrable transaction waits for serializable ones without any lock."""
    holder = await stage.connect(HOLDER)
    await holder.run("BEGIN ISOLATION LEVEL SERIALIZABLE")
    await holder.run(LOCK_ROW)
    waiter = await stage.connect(WAITER)
    await waiter.run("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE")
    waiter.begin("SELECT * FROM stock")
    await stage.shows([waiter], "wait_event = 'SafeSnapshot'")
    async with demo as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(): 1}
        assert blocked(scrape) == 1


async def test_wait_of_a_lock_is_the_wait_alone(
    stage: Stage, demo: AbstractAsyncContextManager[Watch]
) -> None:
    """Time that a statement worked before it waited is no waiting, where the server tells."""
    await stage.open(HOLDER, "idle in transaction", query=LOCK_ROW)
    worked: LiteralString = (
        "DO $$ BEGIN PERFORM pg_sleep(1.5); UPDATE stock SET quantity = 0 WHERE id = 1; END $$"
    )
    session = await waiting(stage, WAITER, worked)
    async with demo as watch:
        before = await stage.fetch(WAITS, [session.pid])
        scrape = await watch.after_poll()
        after = await stage.fetch(WAITS, [session.pid])
        wait = scrape.value(WAIT, usename="app")
        assert wait is not None
        assert before[0][0] <= wait <= after[0][0]
        query = scrape.value("pgconn_query_age_max_seconds", usename="app", blocked="true")
        assert query is not None
        if stage.cluster.version >= 14:
            assert query - wait >= 1.5
        else:
            assert query == wait


WAITS: Final = """
SELECT extract(epoch FROM clock_timestamp()
    - coalesce((to_jsonb(l) ->> 'waitstart')::timestamptz, a.query_start))::float8
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE NOT granted AND pid = %s
"""


# --- Processes of the server


async def test_autovacuum_as_root(new_cluster: NewCluster) -> None:
    """An autovacuum worker in the way is named by what it is."""
    server = new_cluster(autovacuum_naptime="1s", deadlock_timeout="1h")
    async with Stage(server) as stage:
        await stage.in_database(
            "shop",
            "CREATE TABLE swept WITH (autovacuum_vacuum_threshold = 1,"
            " autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
            " autovacuum_vacuum_cost_limit = 1)"
            " AS SELECT id, repeat('x', 1000) FROM generate_series(1, 5000) AS id",
        )
        await stage.in_database("shop", "DELETE FROM swept")
        # With a short deadlock_timeout it would be sent away at once.
        await stage.until(
            "count(*) = 1 FROM pg_locks JOIN pg_stat_activity AS a USING (pid)"
            " WHERE backend_type = 'autovacuum worker' AND a.datname = 'shop'"
            " AND mode = 'ShareUpdateExclusiveLock' AND a.query LIKE '%%swept%%'",
            (),
            patience=20,
        )
        await waiting(stage, Client("postgres"), "ALTER TABLE swept ADD more int")
        async with watching({"demo": server.dsn(user=MONITOR)}) as watch:
            scrape = await watch.after_poll()
            worker = root(Client("", "", "", "shop"), "active", "autovacuum worker")
            assert victims(scrape) == {worker: 1}
            assert scrape.value(AGE) is not None


async def test_background_process_as_victim() -> None:
    """Whoever applies a subscription waits as sessions do, though it is no connection."""
    with primary() as server, subscription(server) as name:
        async with Stage(server) as stage:
            holder = Client("postgres", "reader", "127.0.0.34", name)
            await stage.open(holder, "idle in transaction", query="LOCK TABLE stock")
            await stage.as_user("app", LOCK_ROW)
            await stage.until(
                "count(*) = 1 FROM pg_stat_activity"
                " WHERE backend_type LIKE 'logical replication%%' AND wait_event_type = 'Lock'",
                (),
            )
            async with watching({"demo": server.dsn(user=MONITOR)}) as watch:
                scrape = await watch.after_poll()
                assert victims(scrape) == {root(holder): 1}
                assert blocked(scrape) == 0


@pytest.fixture
async def replica() -> AsyncIterator[tuple[Stage, Stage]]:
    """Give a stage on a primary and one on its standby, which waits for queries without end."""
    with (
        primary() as server,
        standby(server, max_standby_streaming_delay="-1", deadlock_timeout="1h") as copy,
    ):
        async with Stage(server) as stage, Stage(copy) as there:
            yield stage, there


async def test_standby(replica: tuple[Stage, Stage]) -> None:
    """On a standby, what was locked on the primary is held by the startup process."""
    stage, there = replica
    await stage.open(OWNER, "idle in transaction", query="LOCK TABLE stock")
    await stage.execute("SELECT pg_switch_wal()")  # what nobody has committed is not sent yet
    await_replayed(stage.cluster, there.cluster)
    await waiting(there, WAITER, "SELECT * FROM stock")
    await waiting(there, WAITER, "SELECT * FROM stock")
    async with watching({"demo": there.cluster.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll()
        assert victims(scrape) == {root(Client("", "", "", ""), "", "startup"): 2}
        assert blocked(scrape) == 2


async def test_standby_waits_for_a_query(replica: tuple[Stage, Stage]) -> None:
    """Whom the startup process waits for PostgreSQL does not tell: no root, and no fault."""
    stage, there = replica
    await there.open(HOLDER, "idle in transaction", query="SELECT * FROM stock")
    await stage.in_database("shop", "ALTER TABLE stock ALTER quantity SET NOT NULL")
    await there.until(
        "count(*) = 1 FROM pg_stat_activity"
        " WHERE backend_type = 'startup' AND wait_event_type = 'Lock'"
    )
    async with watching({"demo": there.cluster.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll()
        assert scrape.value("pgconn_up") == 1
        assert victims(scrape) == {}
        assert scrape.all("pgconn_poll_errors_total") == {}
        assert blocked(scrape) == 0
