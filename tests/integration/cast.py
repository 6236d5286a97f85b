"""An incident on a server: sessions of all kinds, old ones and new ones, each under a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import AsyncConnection, sql

from tests.integration.staging import HOLDER, MONITOR, WAITER, Client, Session, Stage, State

# Nobody is really old in a test. So a view of the same name stands before the server's own in the
# search path: it lets those who are said to be old have begun two hours earlier. All else in it
# is what the server says.
SEARCH_PATH: Final = "staged,pg_catalog,public"
_TIMES: Final = ("backend_start", "xact_start", "query_start", "state_change")
_COLUMNS: Final = """
SELECT attname FROM pg_attribute
WHERE attrelid = 'pg_catalog.pg_stat_activity'::regclass AND attnum > 0 ORDER BY attnum
"""
_OLDER: Final = sql.SQL("""
CREATE SCHEMA staged;
CREATE TABLE staged.old (pid int PRIMARY KEY);
CREATE VIEW staged.pg_stat_activity AS SELECT {} FROM pg_catalog.pg_stat_activity AS real;
CREATE VIEW staged.pg_prepared_xacts AS
    SELECT transaction, gid, prepared - interval '2 hours' AS prepared, owner, database
    FROM pg_catalog.pg_prepared_xacts;
GRANT USAGE ON SCHEMA staged TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA staged TO PUBLIC
""")
_AS_IT_IS: Final = sql.SQL("real.{0}")
_EARLIER: Final = sql.SQL("""real.{0} - CASE WHEN EXISTS (
    SELECT FROM staged.old WHERE old.pid = real.pid
) THEN interval '2 hours' ELSE interval '0' END AS {0}""")

_GROW_OLD: Final = sql.SQL("INSERT INTO staged.old SELECT unnest({}::int[])")
_END: Final[LiteralString] = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid"
_AMONG: Final[LiteralString] = " FROM pg_stat_activity WHERE pid = ANY(%s)"
_RESERVE: Final[LiteralString] = "SELECT pg_create_physical_replication_slot(%s, true)"
# Not a row that others wait for.
_OTHER_ROW: Final[LiteralString] = "UPDATE stock SET quantity = quantity - 1 WHERE id = 2"


@dataclass(frozen=True, slots=True)
class Part:
    """Whom a session belongs to, and what it is about."""

    client: Client
    state: State
    old: bool = True
    vanishes: bool = False


_API: Final = Client("app", "gunicorn: worker 2", "127.0.0.11")
_CELERY: Final = Client("celery", "celery", "127.0.0.12")
_REPORTS: Final = Client("reports", "nightly", "127.0.0.13")
_DUMP: Final = Client("postgres", "pg_dump", "local")

PARTS: Final[Mapping[str, Part]] = {
    "api idle, old": Part(_API, "idle"),
    "api idle, new": Part(_API, "idle", old=False),
    "api active, old": Part(_API, "active"),
    "api active, new": Part(_API, "active", old=False),
    "api in transaction, old": Part(_API, "idle in transaction"),
    "api in transaction, new": Part(_API, "idle in transaction", old=False),
    "api aborted, old": Part(_API, "idle in transaction (aborted)"),
    "api orphan": Part(_API, "active", vanishes=True),
    "celery idle, old": Part(_CELERY, "idle"),
    "celery idle, new": Part(_CELERY, "idle", old=False),
    "celery active, old": Part(_CELERY, "active"),
    "celery active, new": Part(_CELERY, "active", old=False),
    "celery in transaction, old": Part(_CELERY, "idle in transaction"),
    "reports idle, old": Part(_REPORTS, "idle"),
    "reports idle, new": Part(_REPORTS, "idle", old=False),
    "reports active, old": Part(_REPORTS, "active"),
    "reports active, new": Part(_REPORTS, "active", old=False),
    "backup": Part(_DUMP, "active"),
    "exporter": Part(Client(MONITOR, "pgconn-exporter"), "idle"),
}
WALSENDER: Final = "walsender"
# Whom no page may end.
SPARED: Final = {"backup", WALSENDER}

SLOT: Final = "warehouse"


@dataclass(frozen=True, slots=True)
class Queue:
    """Who has locked a row, in the middle of a transaction, and who waits for it."""

    holder: str
    client: Client
    row: int
    works: bool
    waiter: str
    waiters: int

    @property
    def lock(self) -> sql.Composed:
        """Give the statement that takes the row."""
        return sql.SQL("UPDATE stock SET quantity = quantity - 1 WHERE id = {}").format(self.row)

    @property
    def names(self) -> set[str]:
        """Give the names of all in it."""
        return {self.holder, self.waiter}


QUEUES: Final = (
    Queue("migration", HOLDER, 1, False, "api behind migration", 3),  # noqa: FBT003
    Queue("reports, in the way", _REPORTS, 3, True, "api behind reports", 1),  # noqa: FBT003
)
_STATES: Final[Mapping[str, str]] = {
    **{name: part.state for name, part in PARTS.items()},
    **{queue.holder: "active" if queue.works else "idle in transaction" for queue in QUEUES},
    **{queue.waiter: "active" for queue in QUEUES},
}


async def make_older(stage: Stage) -> None:
    """Let whoever stands in `staged.old` look old, for those with our search path."""
    columns = [name for (name,) in await stage.fetch(_COLUMNS)]
    chosen = [
        (_EARLIER if name in _TIMES else _AS_IT_IS).format(sql.Identifier(name)) for name in columns
    ]
    await stage.in_database("shop", _OLDER.format(sql.SQL(", ").join(chosen)))


class Cast:
    """Brings the sessions in, and those back that were ended or disturbed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._names: dict[int, str] = {}
        self._ageing: list[Session] = []

    async def there(self) -> dict[int, str]:
        """Give the names of those whom the server has, by pid."""
        return {pid: name for pid, name, _ in await self._look()}

    async def _look(self) -> list[tuple[int, str, str | None]]:
        rows = await self._stage.fetch("SELECT pid, state FROM pg_stat_activity")
        return [(pid, self._names[pid], state) for pid, state in rows if pid in self._names]

    async def complete(self) -> None:
        """Bring in whoever is not there, or not as it was any more."""
        await self._end([pid for pid, name, state in await self._look() if not _fits(name, state)])
        there = set((await self.there()).values())
        for name in PARTS.keys() - there:
            await self._enter(name, PARTS[name])
        if WALSENDER not in there:
            await self._replicate()
        for queue in QUEUES:
            await self._line_up(queue)
        if not await self._stage.fetch("SELECT FROM pg_prepared_xacts"):
            await self._prepare()
        if not await self._stage.fetch("SELECT FROM pg_replication_slots"):
            await self._stage.execute(_RESERVE, [SLOT])
        await grow_old(self._stage, self._ageing)
        self._ageing.clear()

    async def _enter(self, name: str, part: Part) -> None:
        [session] = await self._stage.open(part.client, part.state)
        if part.vanishes:
            session.vanish()
        self._know(name, session, old=part.old)

    async def _replicate(self) -> None:
        dsn = self._stage.cluster.dsn(application_name="standby", replication="true")
        connection = await AsyncConnection.connect(dsn, autocommit=True)
        session = Session(Client("postgres", "standby"), connection)
        self._stage.sessions.append(session)
        self._know(WALSENDER, session, old=True)

    async def _line_up(self, queue: Queue) -> None:
        """Let some wait behind one; where anybody of them is missing, all come anew."""
        left = [pid for pid, name in (await self.there()).items() if name in queue.names]
        if len(left) == 1 + queue.waiters:
            return
        await self._end(left)
        [holder] = await self._stage.open(queue.client, "idle in transaction", query=queue.lock)
        if queue.works:
            holder.begin("SELECT pg_sleep(3600)")
            await self._stage.shows([holder], "state = 'active'")
        self._know(queue.holder, holder, old=True)
        for _ in range(queue.waiters):
            waiter = await self._stage.connect(WAITER)
            waiter.begin(queue.lock)
            await self._stage.waits_for_lock([waiter])
            self._know(queue.waiter, waiter, old=True)

    async def _prepare(self) -> None:
        [session] = await self._stage.open(_API, "idle in transaction", query=_OTHER_ROW)
        await session.run("PREPARE TRANSACTION 'import'")
        await session.close()

    def _know(self, name: str, session: Session, *, old: bool) -> None:
        self._names[session.pid] = name
        if old:
            self._ageing.append(session)

    async def _end(self, pids: list[int]) -> None:
        await self._stage.execute(_END, [pids])
        await self.left(set(pids))

    async def left(self, pids: set[int]) -> None:
        """Wait until nobody of these is there."""
        await self._stage.until("count(*) = 0" + _AMONG, [list(pids)])

    async def stopped(self, pids: set[int]) -> None:
        """Wait until nobody of these runs a query."""
        await self._stage.until("count(*) = 0" + _AMONG + " AND state = 'active'", [list(pids)])

    async def leave_nothing(self) -> None:
        """Take back what outlives its session."""
        if await self._stage.fetch("SELECT FROM pg_prepared_xacts"):
            await self._stage.in_database("shop", "ROLLBACK PREPARED 'import'")
        await self._stage.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
        )


def _fits(name: str, state: str | None) -> bool:
    return name == WALSENDER or state == _STATES[name]


async def grow_old(stage: Stage, sessions: list[Session]) -> None:
    """Let sessions look as if they had begun two hours earlier."""
    pids = sql.Literal([session.pid for session in sessions])
    await stage.in_database("shop", _GROW_OLD.format(pids))
