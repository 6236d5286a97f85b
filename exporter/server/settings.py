"""The settings read: what a server is, and the timeouts that new sessions get.

What a new session of another role gets is told by the `reset_val` of our own, but for what our
own login brought along: ALTER ROLE and ALTER DATABASE as they were then, and startup options.
pg_file_settings would be no way around it: it knows neither the postmaster's command line nor
whether the files have been loaded.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from psycopg import sql

from exporter.server.connection import Connection
from exporter.server.errors import OverriddenError, PollError
from exporter.server.guc import parse_integer
from exporter.snapshot import Configuration, Settings, Timeout

TIMEOUTS: Final = (
    "statement_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "lock_timeout",
    "client_connection_check_interval",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
)

# Every one of these belongs to the server alone: no session of ours can have another value.
SETTINGS_QUERY: Final = """
SELECT current_setting('server_version') AS version,
    pg_is_in_recovery() AS in_recovery,
    date_part('epoch', pg_postmaster_start_time()) AS postmaster_start,
    current_setting('max_connections')::int AS max_connections,
    current_setting('superuser_reserved_connections')::int AS superuser_reserved,
    current_setting('reserved_connections', true)::int AS reserved,
    current_setting('rds.rds_superuser_reserved_connections', true)::int
        AS rds_superuser_reserved
"""

# Setting NULL is a RESET, here for the length of the statement: it takes our guards away, so that
# `source` is where the login had the value from, and `setting` the kernel's where that is 0.
OWN_QUERY: Final = """
WITH reset AS MATERIALIZED (
    SELECT count(set_config(name, NULL, true)) AS settings
    FROM unnest(%s::text[]) AS name WHERE current_setting(name, true) IS NOT NULL
)
SELECT name AS setting, unit, reset_val, setting AS in_force, source
FROM pg_settings WHERE name = ANY (%s) AND (SELECT settings FROM reset) > 0
"""

# A keepalive setting of 0 reads back as the kernel's own; over a Unix socket it stays 0.
OVERRIDES_QUERY: Final = """
SELECT name AS setting, coalesce(d.datname, '')::text AS datname,
    coalesce(r.rolname, '')::text AS usename, substr(entry, strpos(entry, '=') + 1) AS value,
    CASE WHEN starts_with(name, 'tcp_keepalives_') THEN set_config(name, '0', true) END AS kernel
FROM pg_db_role_setting AS o
LEFT JOIN pg_database AS d ON d.oid = o.setdatabase
LEFT JOIN pg_roles AS r ON r.oid = o.setrole
CROSS JOIN unnest(o.setconfig) AS entry
CROSS JOIN split_part(entry, '=', 1) AS name
WHERE name = ANY (%s) AND (o.setdatabase = 0 OR d.oid IS NOT NULL)
    AND (o.setrole = 0 OR r.oid IS NOT NULL)
"""

# The `source` of what our own login brought along; each hides what the server itself has.
_STARTUP: Final = "client"
_HIDING: Final = frozenset({"global", "database", "user", "database user", _STARTUP})

_IN_A_SECOND: Final = {"ms": 1000, "s": 1, None: 1}


class OwnValue(NamedTuple):
    """What our session has of a setting without its guards: a row of pg_settings."""

    setting: str
    unit: str | None
    reset_val: str
    in_force: str
    source: str


class Override(NamedTuple):
    """What ALTER ROLE or ALTER DATABASE has set, as it was written; empty names are for all."""

    setting: str
    datname: str
    usename: str
    value: str
    kernel: str | None


async def read_configuration(connection: Connection) -> Configuration:
    """Read what the server is, and its timeouts."""
    [settings] = await connection.fetch_rows(Settings, SETTINGS_QUERY)
    own, overrides = await _read(connection)
    if _outdated(own, overrides, connection):
        try:
            await connection.log_in_anew()
        except PollError:
            pass  # tried again with the next poll; until then it is obscured
        else:
            own, overrides = await _read(connection)
    return _configuration(settings, own, overrides)


async def _read(connection: Connection) -> tuple[tuple[OwnValue, ...], tuple[Override, ...]]:
    names = list(TIMEOUTS)
    own = await connection.fetch_rows(OwnValue, OWN_QUERY, (names, names))
    return own, await connection.fetch_rows(Override, OVERRIDES_QUERY, (names,))


def _servers(own: Iterable[OwnValue], overrides: Iterable[Override]) -> list[OwnValue]:
    """Give what must tell of the server: ALTER ROLE ALL has set nothing in its place."""
    for_all = {o.setting for o in overrides if not (o.datname or o.usename)}
    return [value for value in own if value.setting not in for_all]


def _outdated(
    own: Sequence[OwnValue], overrides: Sequence[Override], connection: Connection
) -> bool:
    """Tell whether our login has a value that a new login of ours would not have any more."""
    explained = {o.setting for o in overrides if _is_ours(o.datname, o.usename, connection)}
    return any(
        value.source in _HIDING - {_STARTUP} and value.setting not in explained
        for value in _servers(own, overrides)
    )


def _is_ours(datname: str, usename: str, connection: Connection) -> bool:
    """Tell whether an override holds for our role or our database."""
    return datname in {"", connection.dbname} and usename in {"", connection.role}


def _configuration(
    settings: Settings, own: Sequence[OwnValue], overrides: Sequence[Override]
) -> Configuration:
    units = {value.setting: value.unit for value in own}
    servers = _servers(own, overrides)
    known = (v for v in servers if v.source not in _HIDING)
    rows = (*(Override(v.setting, "", "", v.reset_val, v.in_force) for v in known), *overrides)
    timeouts = tuple(
        Timeout(row.setting, row.datname, row.usename, value)
        for row in rows
        if (value := _value(row, units.get(row.setting))) is not None
    )
    return Configuration(
        settings, timeouts, tuple(v.setting for v in servers if v.source in _HIDING)
    )


def _value(row: Override, unit: str | None) -> float | None:
    """Give a value in seconds, or a count; a keepalive setting of 0 is the kernel's, if known."""
    number = parse_integer(row.value, unit)
    if number == 0 and row.setting.startswith("tcp_keepalives_"):
        number = max(0, int(row.kernel or 0)) or None
    return None if number is None else number / _IN_A_SECOND[unit]


def overridden(configuration: Configuration, connection: Connection) -> OverriddenError | None:
    """Tell what our own login hides of the server's timeouts, and what helps."""
    if not configuration.obscured:
        return None
    ours = [
        timeout
        for timeout in configuration.timeouts
        if timeout.setting in configuration.obscured
        and _is_ours(timeout.datname, timeout.usename, connection)
    ]
    return OverriddenError(
        "the server's own value is hidden by our role's, our database's or our startup options: "
        + ", ".join(configuration.obscured),
        cure=_cure(ours, configuration.obscured),
    )


def _cure(ours: Sequence[Timeout], obscured: Sequence[str]) -> str:
    """Give the SQL that resets what is our role's; what is not has other users, or is no SQL."""
    statements = [_reset(timeout).as_string() for timeout in ours if timeout.usename]
    shared = {t.setting for t in ours if not t.usename}
    startup = set(obscured) - {t.setting for t in ours}
    if shared:
        statements.append(
            f"-- {', '.join(sorted(shared))}: others need it in this database; let the DSN name"
            " another one"
        )
    if startup:
        statements.append(
            f"-- {', '.join(sorted(startup))}: take it out of the DSN's options and of PGOPTIONS"
        )
    return "\n".join(statements)


def _reset(timeout: Timeout) -> sql.Composed:
    place = sql.SQL(" IN DATABASE {}").format(sql.Identifier(timeout.datname))
    return sql.SQL("ALTER ROLE {}{} RESET {};").format(
        sql.Identifier(timeout.usename),
        place if timeout.datname else sql.SQL(""),
        sql.Identifier(timeout.setting),
    )
