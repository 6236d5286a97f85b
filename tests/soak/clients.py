"""Applications that use the servers: they come and go, wait, break and leave traces."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection, OperationalError, sql

from exporter.demo.cluster import Cluster
from tests.integration.staging import LOCK_ROW, MONITOR, Statement

PATIENCE: Final = "2"  # seconds that connecting may take
APPLICATIONS: Final = ("app", "reports", "celery", "deploy")

Session = AsyncConnection[tuple[Any, ...]]

LEFT: Final[Mapping[LiteralString, LiteralString]] = {
    "DATABASE": "SELECT datname FROM pg_database WHERE datname LIKE 'soak %'",
    "ROLE": "SELECT rolname FROM pg_roles WHERE rolname LIKE 'soak %'",
}
OURS: Final = "SELECT pid FROM pg_stat_activity WHERE usename = %s"


async def connect(dsn: str) -> Session:
    """Open a session."""
    guarded: dict[str, Any] = {"connect_timeout": PATIENCE, "options": "-c statement_timeout=5s"}
    return await AsyncConnection.connect(dsn, autocommit=True, **guarded)


@asynccontextmanager
async def administrator(server: Cluster, dbname: str = "postgres") -> AsyncIterator[Session]:
    """Open a superuser's session."""
    async with await connect(server.socket_dsn(dbname=dbname)) as session:
        yield session


async def own_backends(server: Cluster) -> list[int]:
    """Give the pids of the exporter's sessions."""
    async with administrator(server) as admin:
        return [pid for (pid,) in await (await admin.execute(OURS, (MONITOR,))).fetchall()]


async def none_left(server: Cluster) -> bool:
    """Tell whether no application has a session."""
    async with administrator(server) as admin:
        return not await _all(admin, "SELECT FROM pg_stat_activity WHERE datname = 'shop'")


async def terminate_own(server: Cluster) -> None:
    """End every session of the exporter's, as an administrator does."""
    async with administrator(server) as admin:
        await admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({OURS}) AS own", (MONITOR,))


async def come_and_go(server: Cluster, chance: Random, hold: float, count: int = 12) -> None:
    """Open sessions whose names nobody has seen before, and close them."""
    async with AsyncExitStack() as opened:
        for _ in range(count):
            name = f"{chance.choice(('web', 'job', ''))}{chance.randbytes(8).hex()}"
            dsn = server.dsn(user=chance.choice(APPLICATIONS), dbname="shop", application_name=name)
            session = await opened.enter_async_context(await connect(dsn))
            if chance.random() < 0.5:
                await session.execute("BEGIN")
        await asyncio.sleep(hold)


@asynccontextmanager
async def running(sessions: Iterable[Session], statement: Statement) -> AsyncIterator[None]:
    """Run a statement in each session meanwhile, whatever comes of it."""
    tasks = [asyncio.ensure_future(session.execute(statement)) for session in sessions]
    try:
        yield
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)


async def several(server: Cluster, opened: AsyncExitStack, name: str, count: int) -> list[Session]:
    """Open sessions of one application."""
    dsn = server.dsn(user="deploy", dbname="shop", application_name=name)
    return [await opened.enter_async_context(await connect(dsn)) for _ in range(count)]


async def die(server: Cluster, hold: float, count: int = 6) -> None:
    """Run queries whose clients are cut off as a killed process is."""
    sleep = sql.SQL("SELECT pg_sleep({})").format(2 * hold)
    async with AsyncExitStack() as opened:
        victims = await several(server, opened, "web: killed", count)
        async with running(victims, sleep):
            await asyncio.sleep(hold)
            for victim in victims:
                cut(victim)


def cut(session: Session) -> None:
    """Shut a session's socket, without a word to the server."""
    with (
        contextlib.suppress(OSError, OperationalError),  # it is closed already
        socket.socket(fileno=os.dup(session.fileno())) as link,
    ):
        link.shutdown(socket.SHUT_RDWR)


async def pile_up(server: Cluster, hold: float, count: int = 6) -> None:
    """Queue behind a lock of a session that is idle in transaction."""
    async with AsyncExitStack() as opened:
        holder, *waiters = await several(server, opened, "migration", 1 + count)
        await holder.execute("BEGIN")
        await holder.execute(LOCK_ROW)
        async with running(waiters, LOCK_ROW):
            await asyncio.sleep(hold)
            await holder.execute("ROLLBACK")


async def prepare_transaction(server: Cluster, chance: Random, hold: float) -> None:
    """Leave a prepared transaction for a while."""
    gid = f"soak {chance.randbytes(4).hex()}"
    await roll_back_prepared(server)
    async with administrator(server, "shop") as admin:
        await admin.execute("BEGIN")
        await admin.execute("INSERT INTO stock VALUES (%s, 1)", (chance.randint(1000, 10**9),))
        await admin.execute(sql.SQL("PREPARE TRANSACTION {}").format(gid))
        await asyncio.sleep(hold)
        await admin.execute(sql.SQL("ROLLBACK PREPARED {}").format(gid))


async def new_statements(server: Cluster, chance: Random, count: int = 150) -> None:
    """Run statements that pg_stat_statements has not seen: a tree of operators is an identity."""
    dsn = server.dsn(user=chance.choice(APPLICATIONS), dbname="shop")
    async with await connect(dsn) as session:
        for _ in range(count):
            operators = "".join(f"{chance.choice('+-*&|#')} {n}::bigint " for n in range(12))
            await session.execute(f"SELECT 1::bigint {operators}".encode())


async def reset_statements(server: Cluster) -> None:
    """Throw away what pg_stat_statements has counted."""
    async with administrator(server) as admin:
        await admin.execute("SELECT pg_stat_statements_reset()")


async def tidy(server: Cluster) -> None:
    """Take away what has survived a server that ended in the middle of a fault."""
    await reset_statements(server)
    await roll_back_prepared(server)
    async with administrator(server, "shop") as admin:
        for kind, query in LEFT.items():
            for (name,) in await _all(admin, query):
                drop = sql.SQL("DROP {} {}").format(sql.SQL(kind), sql.Identifier(name))
                await admin.execute(drop)


async def roll_back_prepared(server: Cluster) -> None:
    """Roll back the transactions that were left prepared."""
    async with administrator(server, "shop") as admin:
        for (gid,) in await _all(admin, "SELECT gid FROM pg_prepared_xacts"):
            await admin.execute(sql.SQL("ROLLBACK PREPARED {}").format(gid))


async def _all(session: Session, query: LiteralString) -> list[tuple[Any, ...]]:
    return await (await session.execute(query)).fetchall()


async def new_names(server: Cluster, chance: Random, hold: float) -> None:
    """Make a database and a role with timeouts of its own, use them, and drop them."""
    name = sql.Identifier(f"soak {chance.randbytes(4).hex()}")
    async with administrator(server) as admin, AsyncExitStack() as undo:
        for what in ("ROLE", "DATABASE"):
            kind = sql.SQL(what)
            await admin.execute(sql.SQL("CREATE {} {}").format(kind, name))
            undo.push_async_callback(admin.execute, sql.SQL("DROP {} {}").format(kind, name))
        limit = f"{chance.randint(1, 100)}min"
        await admin.execute(sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(name, limit))
        await asyncio.sleep(hold)


async def exhaust(server: Cluster, hold: float, *, terminate: bool) -> None:
    """Take every slot for a while, and the exporter's own, too, where it shall lose its session."""
    async with AsyncExitStack() as opened:
        await _fill(server, opened)
        if terminate:
            await terminate_own(server)
            await _fill(server, opened)
        await asyncio.sleep(hold)


async def _fill(server: Cluster, opened: AsyncExitStack) -> None:
    """Open sessions until the server refuses."""
    with contextlib.suppress(OperationalError):
        while True:
            dsn = server.dsn(user="app", application_name="web: leaking")
            await opened.enter_async_context(await connect(dsn))
