"""Everything at once, also what happens in no other incident: no panel of a dashboard is empty."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, LiteralString

from exporter.demo.ports import IPV4, free_port
from tests.incidents.monitoring import Monitoring
from tests.incidents.watching import Beyond, monitored
from tests.integration.conftest import NewCluster
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.staging import MONITOR, UNPRIVILEGED, Client, Session, Stage

CLIENTS: Final[Sequence[Mapping[str, object]]] = [
    {"name": "api", "match": {"application_name": "gunicorn*"}, "pool_size": 4},
    {"name": "celery", "match": {"usename": "celery"}, "idle_timeout": "1s", "pool_size": 20},
    {"name": "reports", "match": {"usename": "reports"}, "request_timeout": "1s", "pool_size": 2},
    {"name": "deploy", "match": {"usename": "deploy"}},
]
BEYOND: Final = Beyond(
    discovers=True,
    remembers={"target": "orders", "client": "reports", "state": "active"},
)
LOAD_LEAST: Final = 0.01  # of sessions in ten minutes, which are twenty seconds here
REPORTS: Final = Client("reports", "nightly")
CELERY: Final = Client("celery", "celery")
SHOP: Final = Client("app", "gunicorn: shop")
POOLS: Final = ("app", "reports", "celery")
SHOPS: Final = 12  # more of them than a target with the least limit tells apart

LIMITS: LiteralString = (
    "ALTER ROLE app CONNECTION LIMIT 50; ALTER DATABASE shop CONNECTION LIMIT 60"
)
CHECKED: LiteralString = "ALTER SYSTEM SET client_connection_check_interval = '10s'"
UNREADABLE: LiteralString = "REVOKE SELECT ON pg_replication_slots FROM PUBLIC"
SLOT: LiteralString = "SELECT pg_create_physical_replication_slot('standby', true)"
OTHER_ROW: LiteralString = "UPDATE stock SET quantity = quantity - 1 WHERE id = 2"


async def test_bad_night(new_cluster: NewCluster, tmp_path: Path) -> None:
    """All panels show something, and all of their columns, where there is something to be shown."""
    server = new_cluster()
    gone = f"postgresql://{MONITOR}@{IPV4}:{free_port()}/postgres"
    async with Stage(server) as stage, pgbouncer(server) as bouncer:
        targets: list[Mapping[str, object]] = [
            {"name": "orders", "dsn": server.dsn(user=MONITOR), "slow_query_after": "1s"}
            | {"proc": True},
            {"name": "many", "dsn": server.dsn(user=MONITOR, dbname="shop"), "max_series": 10},
            {"name": "limited", "dsn": server.dsn(user=UNPRIVILEGED)},
            {"name": "gone", "dsn": gone},
            bouncer.target(name="orders-pool", server="orders"),
        ]
        await stage.execute(LIMITS)
        await stage.execute(SLOT)
        if server.version >= 14:
            await stage.execute(CHECKED)
            await stage.execute("SELECT pg_reload_conf()")
        await pause(bouncer)
        await crowd(stage)
        await locks(stage)
        async with (
            shopping(stage.connect),
            shopping(bouncer.connect),
            monitored(tmp_path, targets, CLIENTS, {"load_least": LOAD_LEAST}, BEYOND) as watch,
        ):
            await a_read_fails(watch, stage)
            await watch.shows("bad-night", 30)


async def pause(bouncer: PgBouncer) -> None:
    """Let clients of several pools, together more than their database may open, wait for one."""
    sessions = [await bouncer.connect(Client(user, dbname="orders")) for user in POOLS]
    for session in sessions:
        await session.run("SELECT 1")
    bouncer.command("PAUSE orders")
    for session in sessions:
        session.begin("SELECT 1")


async def a_read_fails(watch: Monitoring, stage: Stage) -> None:
    """Have one read of a target come late, which was done before."""
    done = 'pgconn_poll_last_success_timestamp_seconds{target="many", collector="replication"}'
    await watch.until(done, len)
    await stage.in_database("shop", UNREADABLE)


async def crowd(stage: Stage) -> None:
    """Open what is idle, in and out of transactions, of many applications."""
    await stage.open(CELERY, count=5)
    await stage.open(CELERY, "idle in transaction (aborted)")
    for number in range(SHOPS):
        await stage.open(Client("app", f"gunicorn: shop {number}"))


async def locks(stage: Stage) -> None:
    """Let one session hold a lock idle and another at work; both have victims."""
    await stage.pile_up()
    [busy] = await stage.open(REPORTS, "idle in transaction", query=OTHER_ROW)
    busy.begin("SELECT pg_sleep(3600)")  # which its client does not wait for
    victim = await stage.connect(CELERY)
    victim.begin(OTHER_ROW)
    await stage.waits_for_lock([victim])


@asynccontextmanager
async def shopping(connect: Callable[[Client], Awaitable[Session]]) -> AsyncIterator[None]:
    """Let somebody log in, look something up, and leave, again and again."""

    async def shop() -> None:
        while True:
            session = await connect(SHOP)
            await session.run("SELECT quantity, pg_sleep(0.01) FROM stock WHERE id = 3")
            await session.close()

    task = asyncio.create_task(shop())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
