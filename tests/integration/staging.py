"""Stage real sessions on a real server: states, clients, locks, and ends of all kinds."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, LiteralString, Self, TypeVar

import psycopg
from psycopg import AsyncConnection, OperationalError, sql

from exporter.demo.cluster import Cluster
from exporter.demo.forwarder import Forwarder

PASSWORD = "secret"  # of every role, for a pg_hba.conf that asks for one
MONITOR, UNPRIVILEGED = "pgconn_exporter", "nomonitor"
ROLES = (MONITOR, UNPRIVILEGED, "app", "reports", "celery", "deploy")

# PostgreSQL takes all of these as names; a connection string or a label may not.
ODD_NAMES = (
    'quo"ted',
    "apos'trophe",
    "back\\slash",
    "new\nline",
    "über straße ✓",
    "a=b c&d?e/f@g:h%20{i}",
)

PATIENCE = 10.0  # seconds that a fact may take to come true
TURN = 0.02  # seconds between two looks

State = Literal[
    "idle", "active", "idle in transaction", "idle in transaction (aborted)", "disabled"
]
LOCK_ROW: LiteralString = "UPDATE stock SET quantity = quantity - 1 WHERE id = 1"
# The functions are said to be safe, since PostgreSQL rightly keeps such things out of workers.
PARALLEL_OBJECTS: LiteralString = """
CREATE TABLE many WITH (parallel_workers = 2) AS SELECT id FROM generate_series(1, 1000) AS id;
GRANT ALL ON many TO PUBLIC;
CREATE FUNCTION lock(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN PERFORM pg_advisory_xact_lock(4712); RETURN $1; END $$;
CREATE FUNCTION rest(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN PERFORM pg_sleep(3600); RETURN $1; END $$
"""
IN_PARALLEL = sql.SQL("""
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = {}
""")
Since = Literal["state_change", "query_start", "xact_start", "backend_start"]
AGED: dict[Since, LiteralString] = {
    "state_change": "clock_timestamp() - state_change >= make_interval(secs => %s)",
    "query_start": "clock_timestamp() - query_start >= make_interval(secs => %s)",
    "xact_start": "clock_timestamp() - xact_start >= make_interval(secs => %s)",
    "backend_start": "clock_timestamp() - backend_start >= make_interval(secs => %s)",
}
Statement = LiteralString | sql.SQL | sql.Composed
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Client:
    """Who opens a session; `client_addr` is `local`, `::1` or any 127.x.y.z."""

    user: str = "app"
    application_name: str = ""
    client_addr: str = "127.0.0.1"
    dbname: str = "shop"


APP = Client()
HOLDER = Client("deploy", "migration", "127.0.0.31")
WAITER = Client("app", "gunicorn: worker 1", "127.0.0.11")


def prepare(cluster: Cluster) -> None:
    """Make the roles, the database `shop` and pg_stat_statements that staging expects."""
    with psycopg.connect(cluster.socket_dsn(), autocommit=True) as admin:
        admin.execute("SET password_encryption = 'scram-sha-256'")  # md5 by default before 14
        for role in ROLES:
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(role), PASSWORD))
        admin.execute("GRANT pg_monitor TO pgconn_exporter")
        admin.execute("CREATE DATABASE shop")
        admin.execute("CREATE EXTENSION pg_stat_statements")
    with psycopg.connect(cluster.socket_dsn(dbname="shop"), autocommit=True) as admin:
        admin.execute("CREATE EXTENSION pg_stat_statements")
        admin.execute("CREATE TABLE stock (id int PRIMARY KEY, quantity int NOT NULL)")
        admin.execute("INSERT INTO stock SELECT id, 100 FROM generate_series(1, 100) AS id")
        admin.execute("GRANT ALL ON stock TO PUBLIC")


async def eventually(look: Callable[[], Awaitable[T]], patience: float = PATIENCE) -> T:
    """Look until what is seen is true, and return it; an AssertionError counts as not yet."""
    deadline = time.monotonic() + patience
    while True:
        problem: object
        try:
            if seen := await look():
                return seen
            problem = seen
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {patience} s: {problem}")
        await asyncio.sleep(TURN)


class Session:
    """One staged session, with at most one statement running in the background."""

    def __init__(self, client: Client, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self.client = client
        self.connection = connection
        self.pid = connection.info.backend_pid
        self.running: asyncio.Task[object] | None = None

    async def run(self, statement: Statement) -> None:
        """Run a statement to its end, which must be near."""
        async with asyncio.timeout(PATIENCE):
            await self.connection.execute(statement)

    def begin(self, statement: Statement) -> None:
        """Run a statement in the background."""
        self.running = asyncio.ensure_future(self.connection.execute(statement))

    async def finish(self) -> None:
        """Await the statement in the background, and raise what it raised."""
        if self.running is not None:
            await self.running

    def vanish(self) -> None:
        """Cut the connection as the kernel does for a killed process: no word of farewell."""
        with (
            contextlib.suppress(OSError, OperationalError),  # cut or closed already
            socket.socket(fileno=os.dup(self.connection.fileno())) as link,
        ):
            link.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Close our end, whatever state it is in."""
        if self.running is not None:
            self.vanish()
            await asyncio.wait({self.running})
            self.running.exception()  # seen, as asyncio wants it
        await self.connection.close()


@dataclass(frozen=True, slots=True)
class PileUp:
    """A session that holds a lock, and those waiting behind it in the order they came."""

    holder: Session
    waiters: list[Session]


class Stage:
    """Opens sessions on one server and clears them away at the end.

    Its own session is a superuser's, local, in the database postgres, named `stage`.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.sessions: list[Session] = []
        self._forwarders: dict[str, Forwarder] = {}
        self._resources = ExitStack()
        self._undo: list[sql.Composed] = []
        self._prepared: list[tuple[str, str]] = []
        self._users: dict[str, Session] = {}
        self._admin: AsyncConnection[tuple[Any, ...]] | None = None

    # --- Sessions

    async def open(
        self,
        client: Client = APP,
        state: State = "idle",
        count: int = 1,
        query: Statement | None = None,
    ) -> list[Session]:
        """Open sessions and bring them into a state, which the server already shows."""
        opened = [await self.connect(client, tracked=state != "disabled") for _ in range(count)]
        for session in opened:
            await self._bring(session, state, query)
        await self.shows(opened, "state = %s", state)
        return opened

    async def connect(self, client: Client = APP, *, tracked: bool = True) -> Session:
        """Open one session; one that is not tracked has track_activities off."""
        if not tracked:
            await self._track(client, "SET track_activities = off")
        connection = await AsyncConnection.connect(self.dsn(client), autocommit=True)
        if not tracked:
            await self._track(client, "RESET track_activities")
        session = Session(client, connection)
        self.sessions.append(session)
        return session

    async def _track(self, client: Client, what: LiteralString) -> None:
        """Change what the client's next session gets: only a superuser may turn it off."""
        statement = sql.SQL("ALTER ROLE {} IN DATABASE {} " + what)
        names = sql.Identifier(client.user), sql.Identifier(client.dbname)
        await self.execute(statement.format(*names))

    async def _bring(self, session: Session, state: State, query: Statement | None) -> None:
        """Bring a new session into a state."""
        if state == "active":
            return session.begin(query or "SELECT pg_sleep(3600)")
        if state.startswith("idle in transaction"):
            await session.run("BEGIN")
        await session.run(query or "SELECT 'staged'")
        if state.endswith("(aborted)"):
            with contextlib.suppress(psycopg.errors.DivisionByZero):
                await session.run("SELECT 1 / 0")
        return None

    def dsn(self, client: Client) -> str:
        """Return the URL by which a client's sessions come from its address."""
        place = {"user": client.user, "dbname": client.dbname}
        place["application_name"] = client.application_name
        if client.client_addr == "local":
            return self.cluster.socket_dsn(**place)
        if client.client_addr in {"127.0.0.1", "::1"}:
            return self.cluster.dsn(**place, host=client.client_addr)
        return self.cluster.dsn(**place, port=str(self.forwarder(client.client_addr).port))

    def forwarder(self, source: str) -> Forwarder:
        """Return the forwarder from a loopback address; freeze it to stage a dead network."""
        if source not in self._forwarders:
            forwarder = Forwarder(source, self.cluster.port)
            self._forwarders[source] = self._resources.enter_context(forwarder)
        return self._forwarders[source]

    # --- Locks

    async def pile_up(
        self, waiters: int = 3, holder: Client = HOLDER, waiter: Client = WAITER
    ) -> PileUp:
        """Let one session lock a row, idle in transaction, and others queue behind it."""
        [holding] = await self.open(holder, "idle in transaction", query=LOCK_ROW)
        return PileUp(holding, await self.queue(waiters, waiter))

    async def queue(self, waiters: int, waiter: Client = WAITER) -> list[Session]:
        """Let sessions queue behind whoever has locked the row, in a known order."""
        waiting = []
        for _ in range(waiters):
            session = await self.connect(waiter)
            session.begin(LOCK_ROW)
            await self.waits_for_lock([session])
            waiting.append(session)
        return waiting

    async def chain(
        self, depth: int = 3, holder: Client = HOLDER, waiter: Client = WAITER
    ) -> PileUp:
        """Let each session wait for the one before it; the first holds, idle in transaction."""
        lock = sql.SQL("SELECT pg_advisory_xact_lock(4711, {})")
        [holding] = await self.open(holder, "idle in transaction")
        await holding.run(lock.format(0))
        waiting = []
        for number in range(1, depth + 1):
            [session] = await self.open(waiter, "idle in transaction")
            await session.run(lock.format(number))
            session.begin(lock.format(number - 1))
            await self.waits_for_lock([session])
            waiting.append(session)
        return PileUp(holding, waiting)

    async def parallel_database(self, name: str = "parallel") -> str:
        """Make a database for parallel queries, for the length of the test.

        `lock(id)` and `rest(id)` of the rows of `many` wait for an advisory lock, and for ever.
        """
        await self.database(name)
        await self.in_database(name, PARALLEL_OBJECTS)
        return name

    async def in_parallel(
        self, client: Client, query: Statement, *, leading: bool = True
    ) -> Session:
        """Run a query on `many` whose two workers are there; its leader may work, too."""
        session = await self.connect(client)
        await session.run(IN_PARALLEL.format(leading))
        session.begin(query)
        await self.until("count(*) = 2 FROM pg_stat_activity WHERE leader_pid = %s", [session.pid])
        return session

    async def prepared_transaction(self, gid: str, client: Client = HOLDER) -> None:
        """Leave a prepared transaction behind that has locked the row."""
        [session] = await self.open(client, "idle in transaction", query=LOCK_ROW)
        await session.run(sql.SQL("PREPARE TRANSACTION {}").format(gid))
        self._prepared.append((client.dbname, gid))

    # --- Facts

    async def fetch(
        self, query: Statement, params: Sequence[object] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query by the superuser."""
        admin = await self._connected()
        cursor = await admin.execute(query, params)
        return await cursor.fetchall()

    async def execute(self, statement: Statement, params: Sequence[object] | None = None) -> None:
        """Run a statement as the superuser."""
        admin = await self._connected()
        await admin.execute(statement, params)

    async def _connected(self) -> AsyncConnection[tuple[Any, ...]]:
        """Return the superuser's session, a new one after a restart of the server."""
        if self._admin is not None:
            with contextlib.suppress(OperationalError):
                await self._admin.execute("")
                return self._admin
            await self._admin.close()
        dsn = self.cluster.socket_dsn(application_name="stage")
        self._admin = await AsyncConnection.connect(dsn, autocommit=True)
        return self._admin

    async def until(
        self,
        condition: LiteralString,
        params: Sequence[object] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Wait until the server says yes: `until("count(*) = 2 FROM pg_locks WHERE ...")`."""

        async def look() -> bool:
            return bool((await self.fetch("SELECT " + condition, params))[0][0])

        await eventually(look, patience)

    async def shows(
        self, sessions: Sequence[Session], condition: LiteralString, *params: object
    ) -> None:
        """Wait until pg_stat_activity shows all the sessions so."""
        pids = [session.pid for session in sessions]
        await self.until(
            "count(*) = %s FROM pg_stat_activity WHERE pid = ANY(%s) AND " + condition,
            (len(pids), pids, *params),
        )

    async def waits_for_lock(self, sessions: Sequence[Session]) -> None:
        """Wait until all the sessions wait for a lock."""
        await self.shows(sessions, "wait_event_type = 'Lock'")

    async def aged(
        self, sessions: Sequence[Session], seconds: float, since: Since = "state_change"
    ) -> None:
        """Wait until all the sessions are that old, by the server's clock."""
        await self.shows(sessions, AGED[since], seconds)

    async def gone(self, sessions: Sequence[Session]) -> None:
        """Wait until the server has none of the sessions any more."""
        pids = [session.pid for session in sessions]
        await self.until("count(*) = 0 FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,))

    # --- Names

    async def role(self, name: str, options: LiteralString = "LOGIN") -> str:
        """Make a role of any name for the length of the test."""
        await self.execute(sql.SQL("CREATE ROLE {} " + options).format(sql.Identifier(name)))
        self._undo.append(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
        return name

    async def database(self, name: str) -> str:
        """Make a database of any name for the length of the test."""
        await self.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        self._undo.append(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        return name

    async def latin_database(self, name: str) -> str:
        """Make a database whose encoding is LATIN1, for the length of the test."""
        statement = sql.SQL(
            "CREATE DATABASE {} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        await self.execute(statement.format(sql.Identifier(name)))
        self._undo.append(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        return name

    async def in_database(self, dbname: str, statement: Statement) -> None:
        """Run a statement as the superuser in another database."""
        dsn = self.cluster.socket_dsn(dbname=dbname)
        async with await AsyncConnection.connect(dsn, autocommit=True) as admin:
            await admin.execute(statement)

    async def as_user(self, user: str, statement: Statement) -> None:
        """Run a statement as a role in the database `shop`, over one session for each role."""
        if user not in self._users:
            self._users[user] = await self.connect(Client(user))
        await self._users[user].run(statement)

    # --- pg_stat_statements

    async def extension(self, dbname: str, schema: str, version: str | None = None) -> None:
        """Create pg_stat_statements in a schema of a database, in a version if one is given."""
        into = sql.Identifier(schema)
        await self.in_database(dbname, sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(into))
        create = sql.SQL("CREATE EXTENSION pg_stat_statements SCHEMA {}").format(into)
        if version is not None:
            create += sql.SQL(" VERSION {}").format(version)
        await self.in_database(dbname, create)

    async def offers(self, version: str) -> bool:
        """Tell whether the server can create pg_stat_statements in a version."""
        rows = await self.fetch(
            "SELECT version FROM pg_available_extension_versions WHERE name = 'pg_stat_statements'"
        )
        return (version,) in rows

    # --- Clearing away

    async def clear(self) -> None:
        """End every staged session, and take back names and prepared transactions."""
        if self.cluster.running:
            await self._terminate_busy()
        for session in self.sessions:
            await session.close()
        if self.cluster.running:
            await self.gone(self.sessions)
            await self._take_back()
        self.sessions.clear()

    async def _terminate_busy(self) -> None:
        """End the statements in the background: their clients only learn of it from them."""
        busy = [session.pid for session in self.sessions if session.running]
        await self.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [busy])

    async def _take_back(self) -> None:
        """Undo what outlives its session, the newest first."""
        for dbname, gid in self._prepared:
            await self.in_database(dbname, sql.SQL("ROLLBACK PREPARED {}").format(gid))
        self._prepared.clear()
        while self._undo:
            await self.execute(self._undo.pop())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._resources:
            await self.clear()
        if self._admin is not None:
            await self._admin.close()
