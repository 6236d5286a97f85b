"""The statements read: pg_stat_statements, whose columns follow the extension, not the server.

The entries are read without their texts, which cost as much as all the rest; a text is read only
when a statement is exported for the first time.
"""

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from psycopg import sql

from exporter.server.connection import Connection
from exporter.server.errors import (
    MissingExtensionError,
    MissingPreloadError,
    PollError,
    PollTimeoutError,
    PrivilegeError,
    QueryError,
)
from exporter.snapshot import StatementRow, Statements, StatementsInfo

Choose = Callable[[float, tuple[StatementRow, ...], StatementsInfo | None], Collection[int]]
"""Takes the server's clock, every entry and the info; gives the queryids whose texts are needed."""

# Far above any text_length: a comment that stands before the statement must fit in, too.
TEXT_BYTES: Final = 20_000

_OBJECT_NOT_IN_STATE: Final = "55000"
_NO_UTF8: Final = frozenset({"22021", "22P05"})
_VERSION_WITH_GRANT_INHERIT: Final = 160000


class Extension(NamedTuple):
    """Where pg_stat_statements is, and which of the columns that vary it has."""

    schema: str | None
    preloaded: bool
    may_read: bool
    has_toplevel: bool
    has_stats_since: bool
    has_info: bool


# Before 15, a member that does not inherit may read all the same.
LOCATE_QUERY: Final = """
SELECT n.nspname AS schema,
    current_setting('pg_stat_statements.max', true) IS NOT NULL AS preloaded,
    pg_has_role('pg_read_all_stats', CASE WHEN current_setting('server_version_num')::int >= 150000
        THEN 'USAGE' ELSE 'MEMBER' END) AS may_read,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'toplevel')
        AS has_toplevel,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'stats_since')
        AS has_stats_since,
    EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid
        AND relname = 'pg_stat_statements_info') AS has_info
FROM (VALUES (1)) AS one
LEFT JOIN pg_extension AS e ON e.extname = 'pg_stat_statements'
LEFT JOIN pg_namespace AS n ON n.oid = e.extnamespace
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = 'pg_stat_statements'
"""

ROWS_QUERY: Final = """
SELECT s.userid::bigint AS userid, s.dbid::bigint AS dbid, s.queryid, {toplevel} AS toplevel,
    d.datname, r.rolname AS usename, s.calls, s.total_exec_time / 1000 AS seconds, s.rows,
    {stats_since} AS stats_since
FROM {schema}.pg_stat_statements(false) AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid
WHERE s.calls > 0 AND s.queryid IS NOT NULL
"""

INFO_QUERY: Final = """
SELECT dealloc AS evictions, date_part('epoch', stats_reset) AS reset_at
FROM {schema}.pg_stat_statements_info
"""

TEXTS_QUERY: Final = """
SELECT DISTINCT ON (queryid) queryid, left(query, %s) FROM {schema}.pg_stat_statements(true)
WHERE queryid = ANY (%s) AND query IS NOT NULL
"""

# What a database without an encoding lets its clients write need not be text elsewhere.
RESET_QUERY: Final = """\
SELECT {schema}.pg_stat_statements_reset(0, oid) FROM pg_database WHERE encoding <>\
 (SELECT encoding FROM pg_database WHERE datname = current_database());\
"""

CLOCK_QUERY: Final = "SELECT date_part('epoch', clock_timestamp())"


async def read_statements(
    connection: Connection, choose: Choose
) -> tuple[Statements, PollError | None]:
    """Read every entry, and the texts of those that are chosen; tell why these are missing."""
    extension = await _locate(connection)
    schema = sql.Identifier(extension.schema or "")
    try:
        rows = await connection.fetch_rows(StatementRow, _rows_query(extension, schema))
        info = await _read_info(connection, schema) if extension.has_info else None
        [(now,)] = await connection.fetch(CLOCK_QUERY)
        texts, missing = await _read_texts(connection, schema, choose(now, rows, info))
    except QueryError as error:
        raise _as_missing_preload(error) from None
    except PrivilegeError as error:
        grant = sql.SQL("GRANT USAGE ON SCHEMA {} TO {};").format(
            schema, sql.Identifier(connection.role)
        )
        raise PrivilegeError(str(error), cure=grant.as_string()) from None
    return Statements(now, rows, info, texts), missing


async def _locate(connection: Connection) -> Extension:
    """Find the extension, or say which of its three conditions does not hold."""
    [extension] = await connection.fetch_rows(Extension, LOCATE_QUERY)
    if not extension.preloaded:
        raise missing_preload()
    if extension.schema is None:
        raise MissingExtensionError(
            f"pg_stat_statements is not created in database {connection.dbname!r}",
            cure="CREATE EXTENSION pg_stat_statements;",
        )
    if not extension.may_read:
        raise PrivilegeError(
            "the statements of other roles are hidden", cure=grant_monitor(connection)
        )
    return extension


def grant_monitor(connection: Connection) -> str:
    """Give the SQL that lets our role see every session and statement.

    A role that is a member already, but does not inherit, needs the second half.
    """
    grant = "GRANT pg_monitor TO {0} WITH INHERIT TRUE;"
    if connection.server_version < _VERSION_WITH_GRANT_INHERIT:
        grant = "GRANT pg_monitor TO {0}; ALTER ROLE {0} INHERIT;"
    return sql.SQL(grant).format(sql.Identifier(connection.role)).as_string()


def missing_preload() -> MissingPreloadError:
    """Tell that the library is not loaded, and how to load it."""
    return MissingPreloadError(
        "pg_stat_statements is not in shared_preload_libraries",
        cure="ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';"
        " -- keep the libraries that are there, and restart the server",
    )


def _as_missing_preload(error: QueryError) -> QueryError | MissingPreloadError:
    return missing_preload() if error.sqlstate == _OBJECT_NOT_IN_STATE else error


def _rows_query(extension: Extension, schema: sql.Identifier) -> sql.Composed:
    since = "date_part('epoch', s.stats_since)" if extension.has_stats_since else "NULL::float8"
    return sql.SQL(ROWS_QUERY).format(
        schema=schema,
        toplevel=sql.SQL("s.toplevel" if extension.has_toplevel else "true"),
        stats_since=sql.SQL(since),
    )


async def _read_info(connection: Connection, schema: sql.Identifier) -> StatementsInfo:
    query = sql.SQL(INFO_QUERY).format(schema=schema)
    [info] = await connection.fetch_rows(StatementsInfo, query)
    return info


async def _read_texts(
    connection: Connection, schema: sql.Identifier, queryids: Collection[int]
) -> tuple[dict[int, str], PollError | None]:
    """Read texts, or tell why that cannot be: the figures are worth showing without them.

    The server reads all of its texts for that, and fails at one which it cannot convert.
    """
    if not queryids:
        return {}, None
    query = sql.SQL(TEXTS_QUERY).format(schema=schema)
    try:
        return dict(await connection.fetch(query, (TEXT_BYTES, list(queryids)))), None
    except QueryError as error:
        if error.sqlstate not in _NO_UTF8:
            raise
        return {}, QueryError(
            "texts of statements are missing: one that was run in a database of another encoding"
            " cannot be converted",
            cure=sql.SQL(RESET_QUERY).format(schema=schema).as_string(),
        )


def slow_texts() -> PollTimeoutError:
    """Tell that the texts are missing because they are too many."""
    return PollTimeoutError(
        "texts of statements are missing: the server needs longer than query_timeout to read them"
    )
