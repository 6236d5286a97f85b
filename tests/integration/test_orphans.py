"""Connections that nobody needs any more are found, each for one reason, and only when proven."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, LiteralString

import aiohttp
import pytest

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.networks import Network, needs_root
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.processes import COMMAND
from tests.integration.staging import (
    LOCK_ROW,
    MONITOR,
    PATIENCE,
    Client,
    Session,
    Stage,
    eventually,
)
from tests.integration.victims import How, Victim, victim
from tests.integration.watching import Scrape, Target, Watch, config_text, watching

ORPHANED: Final = "pgconn_orphaned_connections"
AGE: Final = "pgconn_orphaned_connection_age_max_seconds"
USABLE: Final = "pgconn_tcp_table_usable"
POLLS: Final = "pgconn_poll_duration_seconds_count"

Series = frozenset[tuple[str, str]]

WORKER: Final = Client("app", "worker")
API: Final = Client("app", "api")
SLEEP: Final = "SELECT pg_sleep(3600)"
# More than what the server holds back before it sends, and less than what the kernel takes.
ROWS_AND_SLEEP: Final = f"SELECT repeat('x', 100) FROM generate_series(1, 1000); {SLEEP}"

CLIENTS: Final = [
    {"name": "workers", "match": {"application_name": "worker"}, "idle_timeout": "1h"},
    {
        "name": "api",
        "match": {"application_name": "api"},
        "request_timeout": "1s",
        "idle_timeout": "1s",
    },
]


def orphan(reason: str, client: Client = WORKER, name: str = "workers", **labels: str) -> Series:
    """Give all labels of an orphan's series."""
    given = {
        "client": name,
        "client_addr": client.client_addr,
        "usename": client.user,
        "application_name": client.application_name,
        "datname": client.dbname,
        "reason": reason,
        "target": "demo",
    }
    return frozenset((given | labels).items())


def orphans(scrape: Scrape) -> dict[Series, float]:
    """Give every series of orphans with all of its labels, but for the stage's own session.

    Each has an age.
    """
    found = scrape.all(ORPHANED)
    assert scrape.all(AGE).keys() == found.keys()
    return {series: n for series, n in found.items() if ("application_name", "stage") not in series}


def polls(scrape: Scrape) -> float:
    """Give how often the activity was read."""
    return scrape.value(POLLS, target="demo", collector="activity") or 0.0


async def within_two_polls(
    watch: Watch, cause: Callable[[], None], condition: Callable[[Scrape], Any]
) -> Scrape:
    """Require a condition to hold two polls after its cause, and not after one."""
    before = polls(await watch.scrape())
    cause()
    after = polls(await watch.scrape())
    # The poll that is under way may have read before the cause: it is not one of the two.
    scrape = await watch.until(lambda s: condition(s) or polls(s) >= after + 3)
    assert condition(scrape), scrape.text
    assert polls(scrape) >= before + 2
    return scrape


async def for_polls(watch: Watch, count: int, condition: Callable[[Scrape], Any]) -> None:
    """Require that a condition holds in each of so many polls that begin after now."""
    begun = polls(await watch.scrape())
    while True:
        scrape = await watch.scrape()
        if polls(scrape) > begun + 1:
            assert condition(scrape), scrape.text
        if polls(scrape) >= begun + 1 + count:
            return
        await asyncio.sleep(0.02)


async def one_age(stage: Stage, session: Session | Victim) -> float:
    """Give for how long a session has been in its state."""
    [(seconds,)] = await stage.fetch(
        "SELECT extract(epoch FROM clock_timestamp() - state_change)::float8"
        " FROM pg_stat_activity WHERE pid = %s",
        [session.pid],
    )
    return float(seconds)


@pytest.fixture
def proc(cluster: Cluster) -> AbstractAsyncContextManager[Watch]:
    """Watch with the TCP table, and clients whose timeouts play no part."""
    return watching({"demo": cluster.dsn(user=MONITOR)}, proc=True, clients=CLIENTS)


@pytest.fixture
def remote(cluster: Cluster) -> AbstractAsyncContextManager[Watch]:
    """Watch as from another host."""
    return watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS)


class Killed:
    """What is killed in the middle of a query, and how it comes to that query."""

    def __init__(self, query: str, how: How, wait: LiteralString) -> None:
        self.query, self.how, self.wait = query, how, wait


SLEEPS: LiteralString = "wait_event = 'PgSleep'"
KILLED: Final = {
    "query": Killed(SLEEP, "waits", SLEEPS),
    "unread rows": Killed(ROWS_AND_SLEEP, "reads nothing", SLEEPS),
    "lock": Killed(LOCK_ROW, "waits", "wait_event_type = 'Lock'"),
    "in a transaction": Killed(f"BEGIN; {SLEEP}", "waits", SLEEPS),
}


@asynccontextmanager
async def running(
    stage: Stage, dsn: str, query: str = SLEEP, how: How = "waits", wait: LiteralString = SLEEPS
) -> AsyncIterator[Victim]:
    """Run a client process whose query has come as far as it shall; end its backend afterwards."""
    async with victim(dsn, query, how) as process:
        try:
            await stage.until(
                f"count(*) = 1 FROM pg_stat_activity WHERE pid = %s AND {wait}", [process.pid]
            )
            yield process
        finally:
            await end(stage, process)


async def end(stage: Stage, session: Session | Victim) -> None:
    """End a backend, whose client may be gone."""
    await stage.execute("SELECT pg_terminate_backend(%s)", [session.pid])
    await stage.until("count(*) = 0 FROM pg_stat_activity WHERE pid = %s", [session.pid])


@pytest.mark.parametrize("name", KILLED)
async def test_killed_client_is_proven_gone(
    stage: Stage, proc: AbstractAsyncContextManager[Watch], name: str
) -> None:
    """A client killed in the middle of a query is an orphan at the second poll, by proof."""
    killed = KILLED[name]
    await stage.open(Client("deploy", "migration"), "idle in transaction", query=LOCK_ROW)
    async with (
        running(stage, stage.dsn(WORKER), killed.query, killed.how, killed.wait) as process,
        proc as watch,
    ):
        await for_polls(watch, 2, lambda s: not orphans(s) and s.value(USABLE) == 1)
        before = await one_age(stage, process)
        scrape = await within_two_polls(watch, process.kill, orphans)
        after = await one_age(stage, process)
        assert orphans(scrape) == {orphan("client_gone"): 1}
        assert before <= (scrape.value(AGE) or 0) <= after
        await for_polls(watch, 2, lambda s: orphans(s) == {orphan("client_gone"): 1})
        await end(stage, process)
        assert orphans(await watch.after_poll()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("address", ["::1", "127.0.0.1", "::ffff:127.0.0.1"])
async def test_address_families(
    stage: Stage, proc: AbstractAsyncContextManager[Watch], address: str
) -> None:
    """A client that is gone is found whatever kind of address it came by."""
    place = {"user": "app", "dbname": "shop", "application_name": "worker"}
    dsn = stage.cluster.dsn(**place, host=address)
    shown = address.removeprefix("::ffff:")
    async with running(stage, dsn) as living, running(stage, dsn) as process, proc as watch:
        await within_two_polls(
            watch,
            process.kill,
            lambda s: orphans(s) == {orphan("client_gone", client_addr=shown): 1},
        )
        assert living.process.poll() is None
        await within_two_polls(watch, living.kill, lambda s: set(orphans(s).values()) == {2})


@pytest.mark.slow
async def test_over_ipv6_ourselves(stage: Stage, cluster: Cluster) -> None:
    """Our own connection vouches for the TCP table over IPv6 too."""
    dsn = cluster.dsn(user=MONITOR, host="::1")
    async with (
        running(stage, stage.dsn(WORKER)) as process,
        watching({"demo": dsn}, proc=True, clients=CLIENTS) as watch,
    ):
        await for_polls(watch, 2, lambda s: not orphans(s) and s.value(USABLE) == 1)
        await within_two_polls(
            watch, process.kill, lambda s: orphans(s) == {orphan("client_gone"): 1}
        )


@pytest.mark.slow
async def test_over_the_unix_socket_ourselves(stage: Stage, cluster: Cluster) -> None:
    """We ourselves need no TCP to see who is gone."""
    async with (
        running(stage, stage.dsn(WORKER)) as process,
        watching({"demo": cluster.socket_dsn(user=MONITOR)}, proc=True, clients=CLIENTS) as watch,
    ):
        await for_polls(watch, 2, lambda s: not orphans(s) and s.value(USABLE) == 1)
        await within_two_polls(
            watch, process.kill, lambda s: orphans(s) == {orphan("client_gone"): 1}
        )


async def test_unix_socket_client_is_never_proven_gone(
    stage: Stage, proc: AbstractAsyncContextManager[Watch]
) -> None:
    """Nothing tells of a Unix socket's other end, so nobody is accused."""
    async with running(stage, stage.dsn(Client("app", "worker", "local"))) as process:
        process.kill()
        async with proc as watch:
            await for_polls(watch, 4, lambda s: not orphans(s) and s.value(USABLE) == 1)


async def test_inherited_socket(stage: Stage, proc: AbstractAsyncContextManager[Watch]) -> None:
    """A killed client whose child still has the socket is not proven gone, until that ends."""
    async with running(stage, stage.dsn(WORKER), how="has a child") as process, proc as watch:
        process.kill()
        await for_polls(watch, 4, lambda s: not orphans(s))
        process.release_child()
        await watch.until(lambda s: orphans(s) == {orphan("client_gone"): 1})


async def test_without_proof_by_request_timeout(
    stage: Stage, remote: AbstractAsyncContextManager[Watch]
) -> None:
    """From afar a query of a killed client is an orphan's once it outlived its request."""
    async with running(stage, stage.dsn(API)) as process, running(stage, stage.dsn(WORKER)):
        process.kill()
        async with remote as watch:
            expected = {orphan("query_outlived_client", API, "api"): 1}
            scrape = await watch.until(orphans)
            assert orphans(scrape) == expected
            assert (scrape.value(AGE) or 0) > 1.0
            assert scrape.value(USABLE) is None
            # No proof is no accusation: the other client has no request_timeout.
            await for_polls(watch, 2, lambda s: orphans(s) == expected)
            await end(stage, process)
            assert orphans(await watch.after_poll()) == {}


async def test_request_timeout_needs_two_polls(
    stage: Stage, remote: AbstractAsyncContextManager[Watch]
) -> None:
    """A query that is too old already is an orphan's at the second poll, not at the first."""
    [session] = await stage.open(API, "active")
    await stage.aged([session], 1.0, "query_start")
    async with remote as watch:
        scrape = await watch.until(lambda s: orphans(s) or polls(s) >= 2)
        assert orphans(scrape) == {orphan("query_outlived_client", API, "api"): 1}
        assert polls(scrape) >= 2


@pytest.mark.slow
async def test_new_queries_do_not_add_up(stage: Stage, cluster: Cluster) -> None:
    """A session that works for long on many short queries is nobody's orphan."""
    # Much longer than a query, also on a slow machine, and less than all of them.
    clients = [{"name": "api", "match": {"application_name": "api"}, "request_timeout": "2s"}]
    [session] = await stage.open(API, "active", query="SELECT pg_sleep(0.2)")
    async with watching({"demo": cluster.dsn(user=MONITOR)}, clients=clients) as watch:
        for _ in range(15):
            await session.finish()
            session.begin("SELECT pg_sleep(0.2)")
            assert not orphans(await watch.scrape())


async def test_idle_in_transaction(stage: Stage, cluster: Cluster) -> None:
    """Idle inside a transaction for longer than it may be, healthy or aborted; age and all."""
    sessions = await stage.open(API, "idle in transaction", count=2)
    [aborted] = await stage.open(WORKER, "idle in transaction (aborted)")
    limits = {"idle_in_transaction_after": "1s"}
    # Who has ended its transaction may be idle for long.
    clients = [{key: client[key] for key in ("name", "match")} for client in CLIENTS]
    async with watching(
        {"demo": cluster.dsn(user=MONITOR)}, clients=clients, orphans=limits
    ) as watch:
        await stage.aged([*sessions, aborted], 1.0)
        before = await one_age(stage, sessions[0])
        scrape = await watch.after_poll()
        after = await one_age(stage, sessions[0])
        reason = "idle_in_transaction_too_long"
        assert orphans(scrape) == {orphan(reason, API, "api"): 2, orphan(reason): 1}
        assert before <= (scrape.value(AGE, client="api") or 0) <= after
        await sessions[0].run("COMMIT")
        await aborted.run("ROLLBACK")
        assert orphans(await watch.after_poll()) == {orphan(reason, API, "api"): 1}


async def test_idle(stage: Stage, cluster: Cluster) -> None:
    """Idle for longer than the client's own pool would keep it, or else than the default."""
    other = Client("reports", "psql")
    first, second = await stage.open(API, count=2)
    [kept], [others] = await stage.open(WORKER), await stage.open(other)
    async with watching(
        {"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS, orphans={"idle_after": "2s"}
    ) as watch:
        await stage.aged([first, second, kept], 1.0)
        expected = {orphan("idle_too_long", API, "api"): 2}
        assert orphans(await watch.after_poll()).items() >= expected.items()
        await stage.aged([others], 2.0)
        expected[orphan("idle_too_long", other, "other")] = 1
        assert orphans(await watch.after_poll()) == expected

        async def work_again() -> bool:
            """On a slow machine they may be idle for too long again when they are looked at."""
            await others.run("SELECT 1")
            await second.run("SELECT 1")
            return orphans(await watch.after_poll()) == {orphan("idle_too_long", API, "api"): 1}

        await eventually(work_again)


async def test_one_reason_for_each(stage: Stage, cluster: Cluster) -> None:
    """A connection has the reason that is proven best, and changes it when a better one appears."""
    limits = {"idle_after": "500ms", "idle_in_transaction_after": "500ms"}
    [within] = await stage.open(API, "idle in transaction")
    async with (
        running(stage, stage.dsn(API)) as process,
        watching(
            {"demo": cluster.dsn(user=MONITOR)}, proc=True, clients=CLIENTS, orphans=limits
        ) as watch,
    ):
        await stage.aged([within], 1.5)
        transaction = orphan("idle_in_transaction_too_long", API, "api")
        outlived = orphan("query_outlived_client", API, "api")
        gone = orphan("client_gone", API, "api")
        before = {transaction: 1, outlived: 1}
        await watch.until(lambda s: orphans(s) == before)
        process.kill()
        scrape = await watch.until(lambda s: orphans(s) != before)
        assert orphans(scrape) == {transaction: 1, gone: 1}


# --- PgBouncer


def through(bouncer: PgBouncer, cluster: Cluster) -> AbstractAsyncContextManager[Watch]:
    """Watch a server and the PgBouncer in front of it, as from another host."""
    targets: dict[str, Target] = {
        "demo": cluster.dsn(user=MONITOR),
        "pool": bouncer.target(server="demo"),
    }
    return watching(targets, clients=CLIENTS)


@pytest.mark.slow
async def test_killed_behind_pgbouncer(stage: Stage, cluster: Cluster) -> None:
    """Who came through a watched PgBouncer is proven gone from afar: it has let go of them."""
    of_worker = "FROM pg_stat_activity WHERE application_name = 'worker' AND " + SLEEPS
    async with pgbouncer(cluster) as bouncer, through(bouncer, cluster) as watch:
        dsn = bouncer.dsn("app", "shop", application_name="worker")
        async with victim(dsn, SLEEP) as living, victim(dsn, SLEEP) as process:
            await stage.until("count(*) = 2 " + of_worker)
            await watch.after_poll("pool")
            await for_polls(watch, 2, lambda s: not orphans(s))
            process.kill()
            expected = {orphan("client_gone"): 1}
            await watch.until(lambda s: orphans(s) == expected)
            await for_polls(watch, 3, lambda s: orphans(s) == expected and not s.all(USABLE))
            assert living.process.poll() is None
            await stage.execute("SELECT pg_terminate_backend(pid) " + of_worker)
            await stage.until("count(*) = 0 " + of_worker)
            assert orphans(await watch.after_poll()) == {}


@pytest.mark.slow
async def test_held_by_pgbouncer(stage: Stage, cluster: Cluster) -> None:
    """What a PgBouncer keeps is its own to close, also while it does not answer."""
    of_pool = "FROM pg_stat_activity WHERE application_name = 'api' AND state = 'idle'"
    aged = "AND bool_and(clock_timestamp() - state_change > '1 s')"
    async with pgbouncer(cluster) as bouncer:
        pair = [await bouncer.connect(API) for _ in range(2)]
        for statement in ("BEGIN", "COMMIT"):  # at the same time: two connections
            for client in pair:
                await client.run(statement)
        await stage.until(f"count(*) = 2 {aged} {of_pool}")
        async with through(bouncer, cluster) as watch:
            await for_polls(watch, 4, lambda s: not orphans(s))
            # The same client's own connection is no pooler's.
            [session] = await stage.open(API)
            await stage.aged([session], 1.0)
            expected = {orphan("idle_too_long", API, "api"): 1}
            assert orphans(await watch.after_poll()) == expected
            with bouncer.stopped():
                await watch.until(lambda s: s.value("pgconn_up", target="pool") == 0)
                await for_polls(watch, 2, lambda s: orphans(s) == expected)


# --- Networks


@pytest.fixture
def network() -> Iterator[Network]:
    """Give a network of its own, joined to ours."""
    with Network() as joined:
        yield joined


@pytest.fixture
async def away(new_cluster: NewCluster, network: Network) -> AsyncIterator[Stage]:
    """Give a stage on a server in our network which lets clients of the other in."""
    server = new_cluster(listen_addresses="*")
    server.write_hba(trusting(network))
    async with Stage(server) as stage:
        yield stage


def trusting(network: Network) -> list[str]:
    """Give what pg_hba.conf must say for both ends of the link."""
    return [f"host all all {address}/32 trust" for address in (network.here, network.there)]


@pytest.mark.slow
@needs_root
async def test_network_cut_while_idle(away: Stage, network: Network) -> None:
    """A client behind a dead network is not proven gone; idle too long it is."""
    dsn = away.cluster.dsn("app", "shop", network.here, application_name="api")
    async with (
        victim(dsn, "SELECT 1", "holds", network.inside) as client,
        watching({"demo": away.cluster.dsn(user=MONITOR)}, proc=True, clients=CLIENTS) as watch,
    ):
        network.cut()
        expected = orphan("idle_too_long", API, "api", client_addr=network.there)
        scrape = await watch.until(orphans)
        assert orphans(scrape) == {expected: 1}
        client.kill()
        await for_polls(watch, 3, lambda s: orphans(s) == {expected: 1} and s.value(USABLE) == 1)
        network.heal()
        await watch.until(lambda s: not orphans(s), patience=20)
        await away.until("count(*) = 0 FROM pg_stat_activity WHERE pid = %s", [client.pid])


@pytest.mark.slow
@needs_root
async def test_network_cut_during_a_query(away: Stage, network: Network) -> None:
    """A query goes on behind a dead network, unproven; its session is idle too long afterwards."""
    dsn = away.cluster.dsn("app", "shop", network.here, application_name="slow")
    clients = [
        {"name": "slow", "match": {"application_name": "slow"}}
        | {"request_timeout": "1m", "idle_timeout": "1s"}
    ]
    async with (
        victim(dsn, "SELECT pg_sleep(2)", "reads nothing", network.inside) as client,
        watching({"demo": away.cluster.dsn(user=MONITOR)}, proc=True, clients=clients) as watch,
    ):
        active: LiteralString = "FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        await away.until("count(*) = 1 " + active, [client.pid])
        network.cut()
        client.kill()
        scrape = await watch.scrape()
        while await away.fetch("SELECT " + active, [client.pid]):
            assert orphans(scrape) == {}
            scrape = await watch.scrape()
        scrape = await watch.until(orphans)
        labels = orphan("idle_too_long", Client("app", "slow"), "slow", client_addr=network.there)
        assert orphans(scrape) == {labels: 1}


@pytest.mark.slow
@needs_root
async def test_client_killed_in_another_namespace(away: Stage, network: Network) -> None:
    """The server's end of a socket tells all, wherever the client was."""
    dsn = away.cluster.dsn("app", "shop", network.here, application_name="worker")
    async with (
        victim(dsn, SLEEP, start=network.inside) as client,
        watching({"demo": away.cluster.dsn(user=MONITOR)}, proc=True, clients=CLIENTS) as watch,
    ):
        await away.until(
            "wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = %s", [client.pid]
        )
        labels = orphan("client_gone", client_addr=network.there)
        await within_two_polls(watch, client.kill, lambda s: orphans(s) == {labels: 1})
        await end(away, client)


@pytest.mark.slow
@needs_root
async def test_server_in_another_namespace(new_cluster: NewCluster, network: Network) -> None:
    """Through the server's own processes we see its sockets, not ours."""
    server = network.inside(lambda: new_cluster(listen_addresses="*"))
    server.write_hba(trusting(network))
    place = {"dbname": "shop", "host": network.there}
    dsn = server.dsn("app", **place, application_name="worker")
    async with (
        Stage(server) as stage,
        running(stage, dsn) as living,
        running(stage, dsn) as process,
        watching(
            {"demo": server.dsn(MONITOR, host=network.there)}, proc=True, clients=CLIENTS
        ) as watch,
    ):
        await for_polls(watch, 2, lambda s: not orphans(s) and s.value(USABLE) == 1)
        expected = {orphan("client_gone", client_addr=network.here): 1}
        await within_two_polls(watch, process.kill, lambda s: orphans(s) == expected)
        assert living.process.poll() is None


CONTAINER: Final = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@asynccontextmanager
async def contained(network: Network, folder: Path, dsn: str) -> AsyncIterator[Watch]:
    """Run the exporter as in a container: with a network and process ids of its own."""
    file = folder / "config.json"
    file.write_text(config_text({"demo": dsn}, network.there, proc=True, clients=CLIENTS))
    command = (*CONTAINER, *COMMAND, "run", "--config.file", str(file))
    process = network.inside(lambda: subprocess.Popen(command, stderr=subprocess.PIPE))
    with process:
        try:
            async with asyncio.timeout(PATIENCE):
                url = await asyncio.to_thread(told_url, process)
            async with aiohttp.ClientSession() as session:
                yield Watch(url, session)
        finally:
            process.kill()


def told_url(process: subprocess.Popen[bytes]) -> str:
    """Read in its log where the exporter listens."""
    assert process.stderr is not None
    said = b""
    for line in process.stderr:
        if found := re.search(rb"event=started.* url=(\S+)", line):
            return found[1].decode()
        said += line
    raise AssertionError(f"the exporter has ended: {said.decode()}")


@pytest.mark.slow
@needs_root
async def test_wrong_namespace_accuses_nobody(
    away: Stage, network: Network, tmp_path: Path
) -> None:
    """In a container of our own we see no socket of the server's, and say so."""
    async with (
        running(away, away.dsn(WORKER)) as process,
        running(away, away.dsn(WORKER)),
        contained(network, tmp_path, away.cluster.dsn(MONITOR, host=network.here)) as watch,
    ):
        process.kill()
        await for_polls(watch, 4, lambda s: s.value(USABLE) == 0 and not orphans(s))
