"""Replication slots and WAL senders, on a primary, on its standby, and after a promotion."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final

import psycopg
import pytest
from psycopg import sql

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.replicas import (
    STANDBY,
    await_replayed,
    physical_slot,
    primary,
    standby,
    subscription,
)
from tests.integration.staging import MONITOR, UNPRIVILEGED, Client, Stage, eventually
from tests.integration.watching import Scrape, Watch, watching

ACTIVE: Final = "pgconn_replication_slot_active"
RETAINED: Final = "pgconn_replication_slot_retained_bytes"
USED, MOST = "pgconn_wal_senders_used", "pgconn_wal_senders_max"
LAST: Final = "pgconn_poll_last_success_timestamp_seconds"
INTERVALS: Final = {
    "activity": "200ms",
    "probe": "1s",
    "databases": "500ms",
    "settings": "500ms",
    "statements": "500ms",
    "replication": "200ms",
}

MEBIBYTE: Final = 2**20


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and a hot standby that streams from it."""

    primary: Cluster
    standby: Cluster


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Run one pair for all tests that leave it as they found it."""
    with primary() as first, standby(first) as second:
        yield Pair(first, second)


@pytest.fixture
async def at_primary(pair: Pair) -> AsyncIterator[Stage]:
    """Stage sessions on the primary."""
    async with Stage(pair.primary) as staged:
        yield staged


@pytest.fixture
async def at_standby(pair: Pair) -> AsyncIterator[Stage]:
    """Stage sessions on the standby."""
    async with Stage(pair.standby) as staged:
        yield staged


def watched(cluster: Cluster, user: str = MONITOR) -> AbstractAsyncContextManager[Watch]:
    """Watch one server, its replication often."""
    return watching({"demo": cluster.dsn(user=user)}, intervals=INTERVALS)


def slots(scrape: Scrape, name: str = ACTIVE) -> dict[tuple[str, ...], float]:
    """Give a metric's values by slot and type."""
    return scrape.table(name, "slot_name", "slot_type")


async def write_wal(stage: Stage) -> None:
    """Write a mebibyte, and not only into the server's buffers."""
    await stage.execute("SET synchronous_commit = on")
    await stage.execute(
        "SELECT pg_logical_emit_message(true, 'test', repeat('x', %s))", (MEBIBYTE,)
    )


async def retained(stage: Stage, name: str) -> float:
    """Ask how much WAL there is behind a slot's position, as an administrator would."""
    [(size,)] = await stage.fetch(
        "SELECT (CASE WHEN pg_is_in_recovery()"
        " THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
        " ELSE pg_current_wal_lsn() END - restart_lsn)::float8"
        " FROM pg_replication_slots WHERE slot_name = %s",
        (name,),
    )
    return float(size)


@pytest.mark.parametrize("user", [MONITOR, UNPRIVILEGED])
async def test_attached_standby(pair: Pair, user: str) -> None:
    """A standby makes its slot active and takes one WAL sender; every role may see that."""
    async with watched(pair.primary, user) as watch:
        scrape = await watch.after_poll(read="replication")
    assert slots(scrape) == {(STANDBY, "physical"): 1}
    assert slots(scrape, RETAINED).keys() == {(STANDBY, "physical")}
    assert (scrape.value(USED), scrape.value(MOST)) == (1, 10)


async def test_slot_without_consumer(pair: Pair, at_primary: Stage) -> None:
    """A forgotten slot is inactive, and what it retains grows by all that is written."""
    with physical_slot(pair.primary, "forgotten"):
        async with watched(pair.primary) as watch:
            first = await watch.after_poll(read="replication")
            low = await retained(at_primary, "forgotten")
            await write_wal(at_primary)
            second = await watch.after_poll(read="replication")
            high = await retained(at_primary, "forgotten")
            # The standby confirms what it has received: its slot lets go of it.
            await watch.until(lambda s: slots(s, RETAINED)[STANDBY, "physical"] < MEBIBYTE)
    assert slots(second)["forgotten", "physical"] == 0
    start, end = (slots(s, RETAINED)["forgotten", "physical"] for s in (first, second))
    assert start <= low
    assert start + MEBIBYTE < end <= high


async def test_slot_that_has_not_begun(pair: Pair, at_primary: Stage) -> None:
    """A slot that was never used is there, and retains nothing that could be told."""
    await at_primary.execute("SELECT pg_create_physical_replication_slot('unused')")
    try:
        async with watched(pair.primary) as watch:
            scrape = await watch.after_poll(read="replication")
    finally:
        await at_primary.execute("SELECT pg_drop_replication_slot('unused')")
    assert slots(scrape)["unused", "physical"] == 0
    assert ("unused", "physical") not in slots(scrape, RETAINED)


async def test_temporary_slot(pair: Pair, at_primary: Stage) -> None:
    """A slot that ends with its session, whose pid is in its name, has no series."""
    session = await at_primary.connect(Client("postgres"))
    await session.run("SELECT pg_create_physical_replication_slot('pg_basebackup_7', true, true)")
    async with watched(pair.primary) as watch:
        scrape = await watch.after_poll(read="replication")
    assert slots(scrape).keys() == {(STANDBY, "physical")}


async def test_wal_senders(pair: Pair) -> None:
    """Every replication connection takes a WAL sender while it lasts; it is no client's."""
    dsn = pair.primary.dsn(replication="true", application_name="receiver")
    async with watched(pair.primary) as watch:
        await watch.until(lambda s: s.value(USED) == 1)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True):
            await watch.until(lambda s: s.value(USED) == 2)
            assert "receiver" not in (await watch.after_poll()).text
        await watch.until(lambda s: s.value(USED) == 1)


async def test_subscription(pair: Pair, at_primary: Stage) -> None:
    """A logical slot is active while its subscriber is there, and retains WAL after it."""
    with subscription(pair.primary) as name:
        async with watched(pair.primary) as watch:
            # CREATE SUBSCRIPTION has had a WAL sender, too.
            await watch.until(lambda s: slots(s).get((name, "logical")) == 1 and s.value(USED) == 2)
            await at_primary.in_database(name, f"ALTER SUBSCRIPTION {name} DISABLE")
            await watch.until(lambda s: slots(s)[name, "logical"] == 0 and s.value(USED) == 1)
            await write_wal(at_primary)
            scrape = await watch.after_poll(read="replication")
    assert slots(scrape, RETAINED)[name, "logical"] >= MEBIBYTE
    assert slots(scrape)[STANDBY, "physical"] == 1


async def test_watching_a_standby(pair: Pair, at_standby: Stage) -> None:
    """Everything can be read from a standby; it has slots of its own, for those behind it."""
    with physical_slot(pair.standby, "cascade"):
        low = await retained(at_standby, "cascade")
        async with watched(pair.standby) as watch:
            await at_primary_writes(pair)
            replication = await watch.after_poll(read="replication")
            high = await retained(at_standby, "cascade")
            for read in ("databases", "settings", "statements"):
                await watch.after_poll(read=read)
            scrape = await watch.until(lambda s: s.value("pgconn_probe_success") == 1)
    assert scrape.all("pgconn_poll_errors_total") == {}
    assert {key[0] for key in scrape.table(LAST, "collector")} == INTERVALS.keys()
    assert scrape.value("pgconn_up") == 1
    assert scrape.value("pgconn_server_info", in_recovery="true") == 1
    assert slots(scrape) == {("cascade", "physical"): 0}
    # Of that very poll: the primary goes on writing a little by itself.
    assert low + MEBIBYTE < slots(replication, RETAINED)["cascade", "physical"] <= high
    assert scrape.value(USED) == 0


async def at_primary_writes(pair: Pair) -> None:
    """Write WAL on the primary, and let the standby have it."""
    async with Stage(pair.primary) as stage:
        await write_wal(stage)
    await_replayed(pair.primary, pair.standby)


async def test_promotion(pair: Pair) -> None:
    """A standby that is promoted is one no more at the next settings poll; slots are read on."""
    with standby(pair.primary, "heir") as heir, physical_slot(heir, "cascade"):
        async with watched(pair.primary) as other, watched(heir) as watch, Stage(heir) as stage:
            await watch.until(lambda s: s.value("pgconn_server_info", in_recovery="true"))
            await other.until(lambda s: s.value(USED) == 2)
            await stage.execute("SELECT pg_promote()")
            scrape = await watch.until(lambda s: s.value("pgconn_server_info", in_recovery="false"))
            assert not scrape.all("pgconn_server_info", in_recovery="true")
            before = await watch.after_poll(read="replication")
            await write_wal(stage)
            after = await watch.after_poll(read="replication")
            # A poll asks for the slots first: the WAL sender may end just then.
            await other.until(lambda s: s.value(USED) == 1 and slots(s)["heir", "physical"] == 0)
    start, end = (slots(s, RETAINED)["cascade", "physical"] for s in (before, after))
    assert end - start > MEBIBYTE
    assert after.all("pgconn_poll_errors_total") == {}


async def test_lost_slot(new_cluster: NewCluster) -> None:
    """A slot that the server gave up retains nothing: its WAL is gone."""
    server = new_cluster(max_slot_wal_keep_size="1MB")
    with physical_slot(server, "late"):
        async with Stage(server) as stage, watched(server) as watch:
            await watch.until(lambda s: ("late", "physical") in slots(s, RETAINED))
            for _ in range(3):
                await write_wal(stage)
                await stage.execute("SELECT pg_switch_wal()")
            await stage.execute("CHECKPOINT")
            await stage.until("wal_status = 'lost' FROM pg_replication_slots")
            scrape = await watch.after_poll(read="replication")
    assert slots(scrape) == {("late", "physical"): 0}
    assert slots(scrape, RETAINED) == {}


async def test_lost_slot_of_a_standby(pair: Pair) -> None:
    """From 16 on a slot may keep its position when it is lost; it retains nothing all the same."""
    if pair.primary.version < 16:
        pytest.skip("before 16 a standby has no logical slots")
    with primary() as first, standby(first) as second:
        async with Stage(first) as source, Stage(second) as stage, watched(second) as watch:
            await decode(source, stage, "late")
            await watch.until(lambda s: ("late", "logical") in slots(s, RETAINED))
            first.configure({"wal_level": "replica"})
            first.restart()
            await stage.until(
                "wal_status = 'lost' AND restart_lsn IS NOT NULL FROM pg_replication_slots"
            )
            scrape = await watch.after_poll(read="replication")
    assert slots(scrape) == {("late", "logical"): 0}
    assert slots(scrape, RETAINED) == {}


async def decode(source: Stage, stage: Stage, name: str) -> None:
    """Make a logical slot on a standby, which waits for a word of the primary's."""
    session = await stage.connect(Client("postgres"))
    session.begin(sql.SQL("SELECT pg_create_logical_replication_slot({}, 'pgoutput')").format(name))

    async def look() -> bool:
        await source.execute("SELECT pg_log_standby_snapshot()")
        return session.running is not None and session.running.done()

    await eventually(look)
    await session.finish()


async def test_no_replication(new_cluster: NewCluster) -> None:
    """A server that cannot be replicated says so."""
    off = new_cluster(wal_level="minimal", max_wal_senders="0", max_replication_slots="0")
    async with watched(off) as watch:
        scrape = await watch.after_poll(read="replication")
    assert (scrape.value(USED), scrape.value(MOST)) == (0, 0)
    assert slots(scrape) == {}
    assert scrape.all("pgconn_poll_errors_total") == {}
