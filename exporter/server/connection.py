"""Our one guarded connection to a server, whose every wait has a hard deadline.

The guards are SET after connecting, never through startup options: those would make pg_settings
report our own limits as the server's, and a setting that the version lacks would refuse us.
"""

import asyncio
import select
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, LiteralString, NamedTuple, Self, TypeVar

import psycopg
from psycopg import pq, sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from exporter.server.access import Access, Link, abort, open_link
from exporter.server.errors import PollTimeoutError, QueryError, query_error
from exporter.server.secrets import secrets_of

Result = tuple[tuple[str, ...], list[tuple[Any, ...]]]
Row = TypeVar("Row", bound=NamedTuple)

_NOT_CONVERTIBLE = (psycopg.errors.CharacterNotInRepertoire, psycopg.errors.UntranslatableCharacter)

# How long an aborted statement gets to fail once its socket is shut: it fails at once.
_ABORT_SECONDS = 1.0


def guards(deadline: float) -> dict[str, str]:
    """Give the settings of our session; unknown ones are left out by the server's own list.

    The statement's limit lies below the deadline, so that a backend which we must give up ends
    by itself; timeouts that an administrator set for our role would only cut us off.
    """
    return {
        "statement_timeout": f"{max(1, int(deadline * 800))}ms",
        "lock_timeout": f"{max(1, int(deadline * 400))}ms",
        "default_transaction_read_only": "on",
        "search_path": "pg_catalog, pg_temp",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "transaction_timeout": "0",
        "client_connection_check_interval": "1s",
        "tcp_keepalives_idle": "4",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "2",
        "tcp_user_timeout": "8s",
        "jit": "off",
    }


class TolerantTextLoader(Loader):
    """Load text that is no UTF-8: names in shared catalogs have the encoding of their database.

    No two of them become one, and what is a letter to PostgreSQL stays one in a query.
    """

    format = pq.Format.BINARY

    def load(self, data: Buffer) -> str:
        """Decode what can be decoded; each other byte becomes a lone surrogate."""
        return bytes(data).decode("utf-8", "surrogateescape")


class Connection:
    """One kept connection to one server.

    Opening it, and from then on all statements of one poll, take no longer than the deadline.
    `server_version` is the server's version as a number (180006); `pid` its backend's;
    `decode_seconds` is the processor time that we spent on the rows of the last statement.
    """

    _access: Access
    _simple: ClassVar[bool] = False
    _tolerant_loader: ClassVar[type[Loader]] = TolerantTextLoader

    def __init__(self, link: Link, pid: int, deadline: float, expires: float) -> None:
        self._link = link
        self._deadline = deadline
        self._expires = expires
        self._watched: int | None = None
        self._secrets = secrets_of(link.pgconn)
        self.pid = pid
        self.decode_seconds = 0.0
        self.server_version = link.info.server_version
        self.role = link.info.user
        self.dbname = link.info.dbname

    @classmethod
    async def open(cls, access: Access, deadline: float) -> Self:
        """Connect, and make sure of what answers; raise a PollError."""
        expires = time.monotonic() + deadline
        link = await open_link(access, deadline, simple=cls._simple)
        try:
            connection = await cls._checked(link, deadline, expires)
        except BaseException as error:
            abort(link)
            await link.close()
            if isinstance(error, psycopg.Error):
                # It took us in, and what it says of itself cannot be read.
                raise query_error(error, lost=False) from None
            raise
        connection._access = access  # noqa: SLF001 - it is one of us
        return connection

    @classmethod
    async def _checked(cls, link: Link, deadline: float, expires: float) -> Self:
        """Check that no pooler is in between, and put the guards up."""
        pid = link.info.backend_pid
        connection = cls(link, pid, deadline, expires)
        [(own_pid,)] = await connection.fetch("SELECT pg_catalog.pg_backend_pid()")
        if own_pid != pid:
            # Our guards would stick to a server connection that is lent to others next.
            raise QueryError(
                "the DSN leads through a connection pooler; it must reach PostgreSQL itself"
            )
        limits = guards(deadline)
        # First of all, and by itself: our role's own limit may be too short for the others.
        await connection.fetch(TIMEOUT_QUERY, (limits["statement_timeout"],))
        await connection.fetch(GUARD_QUERY, (list(limits), list(limits.values())))
        return connection

    async def log_in_anew(self) -> None:
        """Replace our session by a new one; where that fails, keep it and raise a PollError.

        What ALTER ROLE and ALTER DATABASE set reaches a session when it logs in, and only then.
        """
        try:
            async with asyncio.timeout(max(0.0, self._expires - time.monotonic())):
                fresh = await self.open(self._access, self._deadline)
        except TimeoutError:
            raise PollTimeoutError(f"no new session within {self._deadline:g} s") from None
        link, self._link = self._link, fresh._link  # noqa: SLF001 - it is one of us
        self.pid, self.server_version = fresh.pid, fresh.server_version
        await link.close()

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell`, once, when the server says something unasked, as it does when it ends us.

        Until `unwatch`, which must come before the next statement: that waits for the same socket.
        """
        self._watched = self._link.fileno()

        def heard() -> None:
            self.unwatch()
            tell()

        asyncio.get_running_loop().add_reader(self._watched, heard)

    def unwatch(self) -> None:
        """Listen no more."""
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    def renew_deadline(self) -> None:
        """Begin a poll: all of its statements together must end within the deadline."""
        self._expires = time.monotonic() + self._deadline

    @property
    def closed(self) -> bool:
        """Tell whether the connection is known to be gone."""
        return self._link.closed

    @property
    def ended(self) -> bool:
        """Tell whether the other end has closed it, which is noticed without a statement."""
        if self._link.closed:
            return True
        poll = select.poll()
        poll.register(self._link.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    async def fetch(
        self, query: sql.SQL | sql.Composed | LiteralString, params: Sequence[object] = ()
    ) -> list[tuple[Any, ...]]:
        """Run one statement within the deadline and give its rows; raise a PollError."""
        _, rows = await self._fetch(query, params)
        return rows

    async def fetch_rows(
        self,
        row: type[Row],
        query: sql.SQL | sql.Composed | LiteralString,
        params: Sequence[object] = (),
    ) -> tuple[Row, ...]:
        """Run one statement whose columns are the fields of a NamedTuple, in their order."""
        columns, rows = await self._fetch(query, params)
        if columns != row._fields:
            raise TypeError(f"{row.__name__} has fields {row._fields}, the statement {columns}")
        return tuple(map(row._make, rows))

    async def fetch_table(self, query: LiteralString) -> Result:
        """Run one statement whose columns vary; give their names, and the rows."""
        return await self._fetch(query, ())

    async def _fetch(
        self, query: sql.SQL | sql.Composed | LiteralString, params: Sequence[object]
    ) -> Result:
        try:
            try:
                return await self._within_deadline(query, params)
            except UnicodeDecodeError:
                self._load_any_text()
            except _NOT_CONVERTIBLE:
                if not await self._take_any_text():
                    raise
            return await self._within_deadline(query, params)
        except psycopg.Error as error:
            raise query_error(error, lost=self._link.closed, secrets=self._secrets) from None

    def _load_any_text(self) -> None:
        for name in ("text", "name"):
            self._link.adapters.register_loader(name, self._tolerant_loader)

    async def _take_any_text(self) -> bool:
        """Have names sent as they are stored; tell whether the server had converted them before.

        A database whose encoding is not ours sends no name that it cannot convert.
        """
        told = self._link.info.parameter_status
        if told("client_encoding") in {told("server_encoding"), "SQL_ASCII"}:
            return False
        self._load_any_text()
        await self._within_deadline(RAW_TEXT_QUERY, ())
        return True

    async def _within_deadline(
        self, query: sql.SQL | sql.Composed | LiteralString, params: Sequence[object]
    ) -> Result:
        """Wait for a statement, and shut the socket when the deadline passes or we are stopped."""
        task = asyncio.ensure_future(self._execute(query, params))
        try:
            left = max(0.0, self._expires - time.monotonic())
            done, _ = await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            await self._give_up(task)
            raise
        if not done:
            await self._give_up(task)
            raise PollTimeoutError(f"no answer within {self._deadline:g} s")
        return task.result()

    async def _execute(
        self, query: sql.SQL | sql.Composed | LiteralString, params: Sequence[object]
    ) -> Result:
        # Names in it are ours, and UTF-8, whatever encoding the server takes us to have.
        text = query.as_bytes() if isinstance(query, sql.Composable) else query
        async with self._link.cursor(binary=True) as cursor:
            # Prepared from the first: we run the same few statements for ever.
            await cursor.execute(text, params, prepare=True)
            return await self._result(cursor)

    async def _result(self, cursor: psycopg.AsyncCursor[Any]) -> Result:
        started = time.thread_time()
        columns = tuple(column.name for column in cursor.description or ())
        rows = await cursor.fetchall()
        self.decode_seconds = time.thread_time() - started
        return columns, rows

    async def _give_up(self, task: asyncio.Future[Result]) -> None:
        task.add_done_callback(_retrieve)
        abort(self._link)
        try:
            await asyncio.wait({task}, timeout=_ABORT_SECONDS)
        finally:  # we may be stopped just now
            task.cancel()
            await self._link.close()

    async def close(self) -> None:
        """Say goodbye to the server; never waits for it."""
        self.unwatch()
        await self._link.close()


def _retrieve(task: asyncio.Future[Result]) -> None:
    """Look at an exception that nobody waits for any more: asyncio would complain otherwise."""
    if not task.cancelled():
        task.exception()


RAW_TEXT_QUERY = "SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)"
TIMEOUT_QUERY = "SELECT pg_catalog.set_config('statement_timeout', %s, false)"
GUARD_QUERY = """
SELECT pg_catalog.set_config(s.name, v.value, false)
FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS v (name, value)
JOIN pg_catalog.pg_settings AS s ON s.name = v.name
"""
