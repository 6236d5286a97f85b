"""Our connection to a PgBouncer's console, which speaks a part of PostgreSQL's protocol.

It knows SHOW and a few commands, in the simple query protocol: no SET, no transactions, no
parameters. So there are no guards; the deadline is what keeps us from waiting.
"""

import re
from collections.abc import Sequence
from typing import ClassVar, Final, LiteralString, Self

from psycopg import pq, sql
from psycopg.adapt import Loader

from exporter.server.access import Access, Link
from exporter.server.connection import Connection, Result, TolerantTextLoader
from exporter.server.errors import CONSOLE_DENIED, UNKNOWN, AuthenticationError, QueryError

DBNAME: Final = "pgbouncer"
"""The database that is the console; PgBouncer lets no other be called so."""


class TolerantConsoleLoader(TolerantTextLoader):
    """Load text that is no UTF-8: PgBouncer shows the application_name as the client sent it."""

    format = pq.Format.TEXT


class Console(Connection):
    """One kept connection to one PgBouncer's console.

    `server_version` is PgBouncer's as a number, as PostgreSQL's is: 11800 for 1.18.0.
    """

    _simple: ClassVar[bool] = True
    _tolerant_loader: ClassVar[type[Loader]] = TolerantConsoleLoader

    @classmethod
    async def open(cls, access: Access, deadline: float) -> Self:
        """Connect, and make sure that this is a console; raise a PollError."""
        try:
            return await super().open(access, deadline)
        except AuthenticationError as error:
            if not re.search(CONSOLE_DENIED, str(error)):
                raise
            raise AuthenticationError(
                "PgBouncer does not let our user into its console:"
                " the user is in neither stats_users nor admin_users",
                sqlstate=error.sqlstate,
                cure="add the user to stats_users in pgbouncer.ini, then RELOAD",
            ) from None

    @classmethod
    async def _checked(cls, link: Link, deadline: float, expires: float) -> Self:
        """Check that it is a PgBouncer who answers, and its console."""
        console = cls(link, link.info.backend_pid, deadline, expires)
        try:
            rows = await console.fetch("SHOW VERSION")
        except QueryError:  # a PostgreSQL knows no such parameter
            rows = []
        if not rows or not str(rows[0][0]).startswith("PgBouncer "):
            raise QueryError(_no_console(link.info.dbname), sqlstate=UNKNOWN)
        return console

    async def _execute(
        self, query: sql.SQL | sql.Composed | LiteralString, params: Sequence[object]
    ) -> Result:
        async with self._link.cursor() as cursor:
            await cursor.execute(query, params)
            return await self._result(cursor)


def _no_console(dbname: str) -> str:
    """Say what is wrong with a DSN that leads to a database."""
    if dbname != DBNAME:
        return f"the DSN leads to a database, not to PgBouncer's console: dbname must be {DBNAME}"
    return (
        f"who answers is no PgBouncer, though it has a database {DBNAME}:"
        " host and port must be PgBouncer's"
    )
