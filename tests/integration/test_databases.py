"""How sessions ended: the server's counters rise by what is really done to sessions."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Any, Final

import pytest
from psycopg.errors import DeadlockDetected

from exporter.demo.cluster import Cluster
from tests.integration.staging import MONITOR, PATIENCE, Client, Session, Stage
from tests.integration.watching import Scrape, watching

SESSIONS: Final = "pgconn_database_sessions_total"
ENDED: Final = "pgconn_database_sessions_ended_total"
SECONDS: Final = "pgconn_database_session_seconds_total"
DEADLOCKS: Final = "pgconn_database_deadlocks_total"

OWN: Final = "staged"  # the database that each test has for itself: its counters begin at 0
APP: Final = Client(dbname=OWN)
OWNER: Final = Client("postgres", dbname=OWN)

# A client that connects, says so, and has nothing else to do until it is killed.
CLIENT: Final = """
import sys, psycopg
with psycopg.connect(sys.argv[1]) as connection:
    print(connection.info.backend_pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def dsn(cluster: Cluster) -> dict[str, str]:
    """Give the one target of these tests."""
    return {"demo": cluster.dsn(user=MONITOR)}


@pytest.fixture
async def own(stage: Stage) -> str:
    """Make a database in which nothing happens but the test."""
    return await stage.database(OWN)


@pytest.fixture
def counts_sessions(cluster: Cluster) -> None:
    """Leave a test out where the server does not count sessions."""
    if cluster.version < 14:
        pytest.skip("PostgreSQL 13 does not count sessions")


def ended(scrape: Scrape) -> dict[str, float]:
    """Give how many sessions of the test's database ended, by reason."""
    return {key[0]: n for key, n in scrape.table(ENDED, "reason", datname=OWN).items()}


@pytest.mark.usefixtures("counts_sessions", "own")
async def test_reasons(stage: Stage, dsn: dict[str, str]) -> None:
    """Each end has its reason; a goodbye has none, and a session that lives has not ended."""
    async with watching(dsn) as watch:
        await watch.until(lambda s: ended(s) == {"abandoned": 0, "fatal": 0, "killed": 0})
        await stage.open(APP)
        [polite] = await stage.open(APP)
        await polite.close()
        [vanishing] = await stage.open(APP, "idle in transaction")
        vanishing.vanish()
        await kill_process(stage)
        await terminate(stage, await stage.open(APP, count=3))
        await time_out(stage)
        await be_found_gone(stage)
        # A session that lives may tell later that it has begun than others that they have ended.
        scrape = await watch.until(
            lambda s: sum(ended(s).values()) >= 7 and (s.value(SESSIONS, datname=OWN) or 0) >= 9,
            PATIENCE * 2,
        )
    assert ended(scrape) == {"abandoned": 2, "fatal": 2, "killed": 3}
    assert scrape.value(SESSIONS, datname=OWN) == 9


async def kill_process(stage: Stage) -> None:
    """Kill a client as the kernel does one that needs too much memory."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, stage.dsn(APP)), stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    process.kill()
    await process.communicate()
    await stage.until("count(*) = 0 FROM pg_stat_activity WHERE pid = %s", (pid,))


async def terminate(stage: Stage, sessions: list[Session]) -> None:
    """End sessions as an administrator does."""
    for session in sessions:
        await stage.execute("SELECT pg_terminate_backend(%s)", (session.pid,))
    await stage.gone(sessions)


async def time_out(stage: Stage) -> None:
    """Let a transaction be idle for too long."""
    session = await stage.connect(APP)
    await session.run("SET idle_in_transaction_session_timeout = '50ms'")
    await session.run("BEGIN")
    await stage.gone([session])


async def be_found_gone(stage: Stage) -> None:
    """Vanish in the middle of a query, on a server that looks after its clients."""
    session = await stage.connect(APP)
    await session.run("SET client_connection_check_interval = '50ms'")
    session.begin("SELECT pg_sleep(3600)")
    await stage.shows([session], "wait_event = 'PgSleep'")
    session.vanish()
    await stage.gone([session])


@pytest.mark.usefixtures("counts_sessions", "own")
async def test_session_seconds(stage: Stage, dsn: dict[str, str]) -> None:
    """The time of sessions is the server's, in seconds, by what they did in it."""
    [session] = await stage.open(APP)
    await session.run("SELECT pg_sleep(0.4)")
    await session.run("BEGIN")
    await stage.aged([session], 0.6)
    await session.run("COMMIT")
    await session.close()
    await stage.gone([session])
    async with watching(dsn) as watch:
        scrape = await watch.until(
            lambda s: spent(s)["active"] >= 0.4 and spent(s)["idle in transaction"] >= 0.6
        )
        [row] = await stage.fetch(STATISTICS + " WHERE datname = %s", (OWN,))
    seconds = spent(scrape)
    assert seconds == dict(zip(("all", "active", "idle in transaction"), row[6:9], strict=True))
    # Milliseconds taken for seconds would not fit into this.
    assert seconds["active"] + seconds["idle in transaction"] <= seconds["all"] < 100


def spent(scrape: Scrape) -> dict[str, float]:
    """Give the seconds of the sessions of the test's database, by state."""
    found = scrape.table(SECONDS, "state", datname=OWN)
    return dict.fromkeys(STATES, 0.0) | {key[0]: value for key, value in found.items()}


@pytest.mark.usefixtures("own")
async def test_deadlock(stage: Stage, dsn: dict[str, str]) -> None:
    """A deadlock that the server resolves is counted in its database, on every version."""
    async with watching(dsn) as watch:
        await watch.until(lambda s: s.value(DEADLOCKS, datname=OWN) == 0)
        others = (await watch.scrape()).value(DEADLOCKS, datname="shop")
        await deadlock(stage)
        scrape = await watch.until(lambda s: s.value(DEADLOCKS, datname=OWN) == 1)
    assert scrape.value(DEADLOCKS, datname="shop") == others


async def deadlock(stage: Stage) -> None:
    """Let two sessions wait for one another, until the server ends one's transaction."""
    pair = await stage.open(OWNER, "idle in transaction", count=2)
    for session, own in zip(pair, ("1", "2"), strict=True):
        await session.run("SET LOCAL deadlock_timeout = '50ms'")
        await session.run(f"SELECT pg_advisory_xact_lock({own})")
    for session, other in zip(pair, ("2", "1"), strict=True):
        session.begin(f"SELECT pg_advisory_xact_lock({other})")
    ends = await asyncio.gather(*(session.finish() for session in pair), return_exceptions=True)
    assert [type(end) for end in ends if end is not None] == [DeadlockDetected]
    for session in pair:
        await session.connection.close()  # from 15 on, a session that is idle tells later


async def test_before_14(cluster: Cluster, dsn: dict[str, str]) -> None:
    """PostgreSQL 13 tells of deadlocks alone: what it does not count is absent, not zero."""
    async with watching(dsn) as watch:
        scrape = await watch.after_poll(read="databases")
    assert scrape.value(DEADLOCKS, datname="shop") is not None
    there = {SESSIONS, ENDED, SECONDS} & scrape.names
    assert there == (set() if cluster.version < 14 else {SESSIONS, ENDED, SECONDS})


STATISTICS: Final = """
SELECT datname, deadlocks, sessions, sessions_abandoned, sessions_fatal, sessions_killed,
    session_time / 1000, active_time / 1000, idle_in_transaction_time / 1000
FROM pg_stat_database
"""


@pytest.mark.usefixtures("counts_sessions")
async def test_every_counter_equals_sql(stage: Stage, dsn: dict[str, str]) -> None:
    """Each value lies between those that an administrator reads before and after the poll."""
    async with watching(dsn) as watch:
        before = await statistics(stage)
        scrape = await watch.after_poll(read="databases")
        after = await statistics(stage)
    found = shown(scrape)
    assert set(found) == set(before) == set(after)
    for name, values in found.items():
        assert len(values) == 8
        for low, value, high in zip(before[name], values, after[name], strict=True):
            assert low <= value <= high, name


async def statistics(stage: Stage) -> dict[str, tuple[Any, ...]]:
    """Read the counters of every database but template0 as an administrator would."""
    rows = await stage.fetch(STATISTICS + " WHERE datname <> 'template0'")
    return {row[0]: row[1:] for row in rows}


def shown(scrape: Scrape) -> dict[str, tuple[float, ...]]:
    """Give the counters of every database in the order of the statement."""
    tables = [
        scrape.table(DEADLOCKS, "datname"),
        scrape.table(SESSIONS, "datname"),
        *(scrape.table(ENDED, "datname", reason=r) for r in ("abandoned", "fatal", "killed")),
        *(scrape.table(SECONDS, "datname", state=s) for s in STATES),
    ]
    return {name: tuple(table[name,] for table in tables) for (name,) in tables[0]}


STATES: Final = ("all", "active", "idle in transaction")


@pytest.mark.usefixtures("own")
async def test_databases(stage: Stage, dsn: dict[str, str]) -> None:
    """Every database is told in which there can be sessions, or were until it was closed."""
    await stage.execute(f"ALTER DATABASE {OWN} ALLOW_CONNECTIONS false")
    async with watching(dsn) as watch:
        scrape = await watch.after_poll(read="databases")
    names = {name for (name,) in scrape.table(DEADLOCKS, "datname")}
    assert names >= {OWN, "shop", "postgres", "template1"}
    assert "template0" not in names
    assert "" not in names
