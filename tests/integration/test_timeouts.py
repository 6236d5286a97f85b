"""Timeouts are what a new session gets; what does not fit a client's own is told, and its cure."""

import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from exporter.server.access import Access
from exporter.server.connection import Connection
from exporter.server.guc import parse_integer
from exporter.server.settings import TIMEOUTS, overridden, read_configuration
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, Client, Session, Stage
from tests.integration.watching import Scrape, watching
from tests.unit.server.times import MILLISECONDS, SECONDS

TIMEOUT, MISMATCH = "pgconn_timeout_seconds", "pgconn_timeout_mismatch"
DETECTION = "pgconn_dead_client_detection_seconds"
ERRORS: Final = "pgconn_poll_errors_total"
COUNT: Final = "tcp_keepalives_count"
KEEPALIVES: Final = {"tcp_keepalives_idle", "tcp_keepalives_interval", COUNT}

# As people write them; each differs from what the exporter's guards and the other places have.
SERVER: Final = {
    "statement_timeout": "100 s",
    "idle_in_transaction_session_timeout": "0.5h",
    "idle_session_timeout": "1d",
    "transaction_timeout": "3600000",
    "lock_timeout": "1500us",
    "client_connection_check_interval": "20s",
    "tcp_keepalives_interval": "33",
    "tcp_user_timeout": "1min",
}
OWN: Final = {
    "statement_timeout": "21s",
    "idle_in_transaction_session_timeout": "22s",
    "idle_session_timeout": "23s",
    "transaction_timeout": "24s",
    "lock_timeout": "25s",
    "client_connection_check_interval": "26s",
    "tcp_keepalives_idle": "27",
    "tcp_keepalives_interval": "28",
    "tcp_keepalives_count": "29",
    "tcp_user_timeout": "30s",
}
SHOW: Final = """
SELECT name, setting::float8 / CASE unit WHEN 'ms' THEN 1000 ELSE 1 END
FROM pg_settings WHERE name = ANY (%s)
"""


async def shown(stage: Stage, client: Client) -> dict[str, float]:
    """Give what a new session of a client has of each setting, in seconds."""
    link = await psycopg.AsyncConnection.connect(stage.dsn(client), autocommit=True)
    async with link:
        cursor = await link.execute(SHOW, (list(TIMEOUTS),))
        return dict(await cursor.fetchall())


def exported(shows: dict[str, float]) -> dict[str, float]:
    """Leave out the count, which is no timeout."""
    return {name: value for name, value in shows.items() if name != COUNT}


def told(scrape: Scrape, datname: str = "", usename: str = "") -> dict[str, float]:
    """Give the exposed timeouts of one place."""
    table = scrape.table(TIMEOUT, "setting", datname=datname, usename=usename)
    return {setting: value for (setting,), value in table.items()}


def rules(scrape: Scrape, client: str = "api") -> dict[str, float]:
    """Give the rules of a client that were checked."""
    return {rule: v for (rule,), v in scrape.table(MISMATCH, "rule", client=client).items()}


def warnings(logs: Sequence[Any]) -> list[Any]:
    """Give what was logged of the settings read."""
    return [line for line in logs if line["event"] == "poll failed" and line["read"] == "settings"]


async def monitor(stage: Stage) -> str:
    """Make a role for the exporter that the test may change."""
    name = await stage.role("watcher")
    await stage.execute("GRANT pg_monitor TO watcher")
    return name


async def alter(stage: Stage, place: str, name: str, value: str) -> None:
    """Set a setting for roles or databases: ROLE app, DATABASE shop, ROLE app IN DATABASE shop."""
    statement = sql.SQL(f"ALTER {place} SET {{}} = {{}}")
    await stage.execute(statement.format(sql.Identifier(name), value))


@asynccontextmanager
async def altered_for_all(stage: Stage, name: str, value: str) -> AsyncIterator[None]:
    """Set a setting for every role, and take it back."""
    await alter(stage, "ROLE ALL", name, value)
    try:
        yield
    finally:
        await stage.execute(sql.SQL("ALTER ROLE ALL RESET {}").format(sql.Identifier(name)))


async def settings_of(stage: Stage) -> set[str]:
    """Give which of the settings the server has."""
    return {name for name, _ in await stage.fetch(SHOW, (list(TIMEOUTS),))}


# --- Values


async def test_values_are_those_of_a_new_session(cluster: Cluster, stage: Stage) -> None:
    """On a server as it comes, keepalives of 0 are the kernel's; what it lacks is absent."""
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll(read="settings")
    shows = await shown(stage, Client("app"))
    assert told(scrape) == exported(shows)
    assert shows["tcp_keepalives_idle"] > 0
    assert ("idle_session_timeout" in told(scrape)) == (cluster.version >= 14)
    assert ("client_connection_check_interval" in told(scrape)) == (cluster.version >= 14)
    assert ("transaction_timeout" in told(scrape)) == (cluster.version >= 17)
    idle, interval, count = (
        shows[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count")
    )
    assert scrape.value(DETECTION, session="idle") == idle + interval * count
    assert scrape.value(DETECTION, session="active") == math.inf


PLACES: Final = {
    "role": ("ROLE watcher", "", "watcher"),
    "role in database": ("ROLE watcher IN DATABASE postgres", "postgres", "watcher"),
}


@pytest.mark.parametrize("place", PLACES)
async def test_our_own_settings_do_not_show(new_cluster: NewCluster, place: str) -> None:
    """What our role has hides the server's values; the logged SQL brings them back, unrestarted."""
    server = new_cluster()
    async with Stage(server) as stage:
        names = await settings_of(stage)
        server.configure({name: value for name, value in SERVER.items() if name in names})
        server.reload()
        await monitor(stage)
        where, datname, usename = PLACES[place]
        for name in names:
            await alter(stage, where, name, OWN[name])
        with capture_logs() as logs:
            async with watching({"demo": server.dsn(user="watcher")}) as watch:
                before = await watch.until(
                    lambda s: (s.value(ERRORS, collector="settings", reason="overridden") or 0) > 1
                )
                assert told(before) == {}
                assert told(before, datname, usename).keys() == names - {COUNT}
                assert before.value(DETECTION, session="idle") is None
                # Before 14 nothing finds out, and nothing is hidden.
                hidden = "client_connection_check_interval" in names
                assert before.value(DETECTION, session="active") == (None if hidden else math.inf)
                [line] = warnings(logs)
                assert all(name in line["error"] for name in names)
                await stage.execute(line["cure"])
                after = await watch.until(told)
                shows = await shown(stage, Client("app"))
                assert told(after) == exported(shows)
                assert told(after, datname, usename) == {}
                assert after.value("pgconn_up") == 1
                await watch.until(lambda _: "poll recovered" in [line["event"] for line in logs])
        assert [line["event"] for line in logs].count("connected") == 1
    assert told(after)["statement_timeout"] == 100
    assert told(after)["lock_timeout"] == 0.002


@pytest.mark.parametrize(
    ("options", "statement", "cure"),
    [
        ("", "ALTER DATABASE ours SET statement_timeout = '25s'", "let the DSN name another one"),
        ("-c statement_timeout=25s", "SELECT 1", "take it out of the DSN's options"),
    ],
    ids=["database", "startup options"],
)
async def test_what_no_sql_of_ours_cures(
    cluster: Cluster, stage: Stage, options: str, statement: str, cure: str
) -> None:
    """A database's settings serve others, so they are not to be reset; options are in the DSN."""
    await stage.database("ours")
    await stage.execute(statement)
    dsn = cluster.dsn(user=MONITOR, dbname="ours", **({"options": options} if options else {}))
    with capture_logs() as logs:
        async with watching({"demo": dsn}) as watch:
            scrape = await watch.until(
                lambda s: s.value(ERRORS, collector="settings", reason="overridden")
            )
    shows = exported(await shown(stage, Client("app")))
    assert told(scrape) == {n: v for n, v in shows.items() if n != "statement_timeout"}
    [line] = warnings(logs)
    assert line["reason"] == "overridden"
    assert line["cure"].startswith("-- statement_timeout: ")
    assert cure in line["cure"]
    assert "RESET" not in line["cure"]


async def test_startup_options_of_the_environment(
    cluster: Cluster, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGOPTIONS of the daemon are ours, too, and not the server's."""
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=25s")
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll(read="settings")
    monkeypatch.delenv("PGOPTIONS")
    shows = exported(await shown(stage, Client("app")))
    assert told(scrape) == {n: v for n, v in shows.items() if n != "lock_timeout"}


async def test_settings_of_our_role_since_we_logged_in(cluster: Cluster, stage: Stage) -> None:
    """What is set for our role reaches our next login: until then the server's value is known."""
    await monitor(stage)
    async with watching({"demo": cluster.dsn(user="watcher")}) as watch:
        await watch.after_poll(read="settings")
        await alter(stage, "ROLE watcher", "statement_timeout", "25s")
        scrape = await watch.until(lambda s: told(s, "", "watcher"))
    assert told(scrape, "", "watcher") == {"statement_timeout": 25}
    assert told(scrape) == exported(await shown(stage, Client("app")))
    assert not scrape.value(ERRORS, collector="settings")


async def test_overrides(cluster: Cluster, stage: Stage) -> None:
    """What is set for databases, roles and both is told as new sessions of them have it."""
    await stage.role("shopper")
    await stage.database("stall")
    await alter(stage, "DATABASE stall", "statement_timeout", " 25 s ")
    await alter(stage, "DATABASE stall", "tcp_keepalives_idle", "0x20")
    await alter(stage, "ROLE shopper", "statement_timeout", "0.5 min")
    await alter(stage, "ROLE shopper", "lock_timeout", "0")
    await alter(stage, "ROLE shopper", "tcp_keepalives_interval", "0")
    await alter(stage, "ROLE shopper", "work_mem", "8MB")
    await alter(stage, "ROLE shopper IN DATABASE stall", "statement_timeout", "0.11 min")
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        scrape = await watch.after_poll(read="settings")
    server = await shown(stage, Client("app"))
    database = await shown(stage, Client("app", dbname="stall"))
    role = await shown(stage, Client("shopper"))
    both = await shown(stage, Client("shopper", dbname="stall"))
    places = {key[1:] for key in scrape.table(TIMEOUT, "setting", "datname", "usename")}
    assert places == {("", ""), ("stall", ""), ("", "shopper"), ("stall", "shopper")}
    assert told(scrape) == exported(server)
    in_database = ("statement_timeout", "tcp_keepalives_idle")
    assert told(scrape, "stall") == {name: database[name] for name in in_database}
    of_role = ("statement_timeout", "lock_timeout", "tcp_keepalives_interval")
    assert told(scrape, "", "shopper") == {name: role[name] for name in of_role}
    assert told(scrape, "stall", "shopper") == {"statement_timeout": both["statement_timeout"]}
    assert database["statement_timeout"] == 25
    assert role["tcp_keepalives_interval"] == server["tcp_keepalives_interval"] > 0


async def test_all_roles_are_the_server(cluster: Cluster, stage: Stage) -> None:
    """What is set for all roles is the server's, set before we logged in, after, and taken back."""
    await monitor(stage)
    async with (
        altered_for_all(stage, "statement_timeout", "44s"),
        watching({"demo": cluster.dsn(user="watcher")}) as watch,
    ):
        scrape = await watch.after_poll(read="settings")
        assert told(scrape) == exported(await shown(stage, Client("app")))
        async with altered_for_all(stage, "lock_timeout", "45s"):
            scrape = await watch.after_poll(read="settings")
            assert told(scrape)["lock_timeout"] == 45
            assert told(scrape) == exported(await shown(stage, Client("app")))
        await stage.execute("ALTER ROLE ALL RESET statement_timeout")
        scrape = await watch.after_poll(read="settings")
        assert told(scrape) == exported(await shown(stage, Client("app")))
        assert told(scrape)["statement_timeout"] == 0
        assert not scrape.value(ERRORS, collector="settings")


async def test_over_a_unix_socket(cluster: Cluster, stage: Stage) -> None:
    """Keepalives of 0 are the kernel's, which a Unix socket does not tell; others are known."""
    clients = [{"name": "api", "match": {"usename": "app"}}]
    dsn = {"demo": cluster.socket_dsn(user=MONITOR)}
    async with watching(dsn, clients=clients) as watch:
        before = await watch.after_poll(read="settings")
        async with altered_for_all(stage, "tcp_keepalives_idle", "77"):
            after = await watch.until(lambda s: "tcp_keepalives_idle" in told(s))
    shows = await shown(stage, Client("app"))
    known = {name: value for name, value in shows.items() if name not in KEEPALIVES}
    assert told(before) == known
    assert told(after) == known | {"tcp_keepalives_idle": 77}
    assert before.value(DETECTION, session="idle") is None
    assert before.value(DETECTION, session="active") == math.inf
    assert rules(before) == {"no_idle_in_transaction_timeout": 1}


async def test_the_check_of_the_connection(cluster: Cluster, stage: Stage) -> None:
    """Where the server looks after its clients, that is how soon a query's is missed."""
    if cluster.version < 14:
        return
    async with (
        altered_for_all(stage, "client_connection_check_interval", "2500ms"),
        watching({"demo": cluster.dsn(user=MONITOR)}) as watch,
    ):
        scrape = await watch.after_poll(read="settings")
    assert scrape.value(DETECTION, session="active") == 2.5


# --- Our own session


async def configured(session: Connection, name: str) -> float | None:
    """Give what one read says of the server's own value."""
    session.renew_deadline()
    timeouts = (await read_configuration(session)).timeouts
    return {t.setting: t.value for t in timeouts if not (t.datname or t.usename)}.get(name)


async def guards_of(session: Connection) -> list[tuple[Any, ...]]:
    """Give what our session has set for itself."""
    query = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"
    return await session.fetch(query)


async def test_the_read_leaves_our_guards_in_place(cluster: Cluster) -> None:
    """They are away for the length of a statement, and never for another one."""
    session = await Connection.open(Access(cluster.dsn(user=MONITOR)), 5.0)
    before = await guards_of(session)
    assert await configured(session, "statement_timeout") == 0
    assert await guards_of(session) == before
    assert ("statement_timeout", "4000") in before
    assert ("tcp_keepalives_idle", "4") in before
    await session.close()


async def test_a_new_login_has_the_guards_too(cluster: Cluster, stage: Stage) -> None:
    """Logging in anew for the sake of the settings changes nothing else, and leaves nothing."""
    await monitor(stage)
    await alter(stage, "ROLE watcher", "statement_timeout", "25s")
    session = await Connection.open(Access(cluster.dsn(user="watcher")), 5.0)
    guards, pid = await guards_of(session), session.pid
    await stage.execute("ALTER ROLE watcher RESET statement_timeout")
    assert await configured(session, "statement_timeout") == 0
    assert session.pid != pid
    assert await session.fetch("SELECT pg_backend_pid()") == [(session.pid,)]
    assert await guards_of(session) == guards
    await stage.until("count(*) = 1 FROM pg_stat_activity WHERE usename = 'watcher'")
    await session.close()
    await stage.until("count(*) = 0 FROM pg_stat_activity WHERE usename = 'watcher'")


async def test_no_slot_for_a_new_login(cluster: Cluster, stage: Stage) -> None:
    """Where there is no slot for another session, ours stays, and the next poll tries again."""
    await monitor(stage)
    await alter(stage, "ROLE watcher", "statement_timeout", "25s")
    await stage.execute("ALTER ROLE watcher CONNECTION LIMIT 1")
    session = await Connection.open(Access(cluster.dsn(user="watcher")), 5.0)
    pid = session.pid
    await stage.execute("ALTER ROLE watcher RESET statement_timeout")
    assert await configured(session, "statement_timeout") is None
    assert await configured(session, "lock_timeout") == 0
    assert session.pid == pid
    await stage.execute("ALTER ROLE watcher CONNECTION LIMIT -1")
    assert await configured(session, "statement_timeout") == 0
    assert overridden(await read_configuration(session), session) is None
    await session.close()


# --- Rules

CLIENTS: Final = [
    {
        "name": "api",
        "match": {"usename": "shop*"},
        "request_timeout": "30s",
        "idle_timeout": "5m",
    },
    {"name": "named", "match": {"usename": "shopkeeper"}, "request_timeout": "30s"},
]
RULE_OF_STATEMENTS: Final = "statement_timeout_above_request_timeout"


@pytest.mark.parametrize(
    "place", ["ROLE shopper", "DATABASE stall", "ROLE shopper IN DATABASE stall"]
)
async def test_alter_role_clears_the_mismatch(cluster: Cluster, stage: Stage, place: str) -> None:
    """It is gone with the next settings poll; RESET brings it back."""
    await stage.role("shopper")
    await stage.database("stall")
    await stage.open(Client("shopper", dbname="stall"))
    async with watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS) as watch:
        await watch.until(lambda s: rules(s).get(RULE_OF_STATEMENTS) == 1)
        await alter(stage, place, "statement_timeout", "25s")
        scrape = await watch.after_poll(read="settings")
        assert rules(scrape)[RULE_OF_STATEMENTS] == 0
        await stage.execute(f"ALTER {place} RESET statement_timeout")
        scrape = await watch.after_poll(read="settings")
        assert rules(scrape)[RULE_OF_STATEMENTS] == 1


async def test_each_rule_is_broken_and_held(cluster: Cluster, stage: Stage) -> None:
    """A server as it comes breaks three of them; each has its cure."""
    await stage.role("shopper")
    await stage.open(Client("shopper"))
    ours = await settings_of(stage)
    async with watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS) as watch:
        scrape = await watch.until(rules)
        found = {
            RULE_OF_STATEMENTS: 1.0,
            "no_idle_in_transaction_timeout": 1.0,
            "dead_clients_linger": 1.0,
        }
        if "idle_session_timeout" in ours:
            found["idle_timeout_below_pool_idle"] = 0
        assert rules(scrape) == found
        for rule, values, broken in CURES:
            if not values.keys() <= ours:
                continue
            for name, value in values.items():
                await alter(stage, "ROLE shopper", name, value)
            found[rule] = broken
            scrape = await watch.after_poll(read="settings")
            assert rules(scrape) == found, rule


CURES: Final[list[tuple[str, dict[str, str], float]]] = [
    ("no_idle_in_transaction_timeout", {"idle_in_transaction_session_timeout": "1min"}, 0),
    ("no_idle_in_transaction_timeout", {"idle_in_transaction_session_timeout": "0"}, 1),
    ("idle_timeout_below_pool_idle", {"idle_session_timeout": "1min"}, 1),
    ("idle_timeout_below_pool_idle", {"idle_session_timeout": "0"}, 0),
    (
        "dead_clients_linger",
        {"tcp_keepalives_idle": "60", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "6"}
        | {"client_connection_check_interval": "10s"},
        0,
    ),
    ("dead_clients_linger", {"client_connection_check_interval": "0"}, 1),
    (RULE_OF_STATEMENTS, {"statement_timeout": "31s"}, 1),
]


async def test_a_role_that_was_not_seen_yet(cluster: Cluster, stage: Stage) -> None:
    """A client that is known by a role is checked before its first session; by a glob, after it."""
    await stage.role("shopkeeper")
    await stage.role("shopper")
    async with watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS) as watch:
        scrape = await watch.after_poll(read="settings")
        assert rules(scrape, "named")[RULE_OF_STATEMENTS] == 1
        assert rules(scrape, "api") == {}
        await alter(stage, "ROLE shopkeeper", "statement_timeout", "25s")
        scrape = await watch.after_poll(read="settings")
        assert rules(scrape, "named")[RULE_OF_STATEMENTS] == 0
        await stage.open(Client("shopper"))
        await watch.until(lambda s: rules(s, "api"))


async def test_a_login_is_remembered(cluster: Cluster, stage: Stage) -> None:
    """A client that is not connected just now is judged all the same."""
    await stage.role("shopper")
    sessions = await stage.open(Client("shopper"))
    async with watching({"demo": cluster.dsn(user=MONITOR)}, clients=CLIENTS) as watch:
        await watch.until(rules)
        await sessions[0].close()
        await stage.gone(sessions)
        await watch.after_poll()
        scrape = await watch.after_poll(read="settings")
    assert rules(scrape)[RULE_OF_STATEMENTS] == 1


# --- Times as text

_NUMBERS: Final = [
    "0",
    "1",
    "7",
    "25",
    "1.5",
    "2.5",
    "0.499",
    ".3",
    "1e2",
    "0x1f",
    "017",
    "08",
    "-1",
]
_UNITS: Final = ["", "us", "ms", "s", "min", "h", "d", "S", "sec", "m"]
_SPACES: Final = ["", " ", "\t"]


def some_times(count: int) -> list[str]:
    """Put together times, good and bad, the same each time."""
    dice = random.Random(25)
    parts = (_SPACES, _NUMBERS, _SPACES, _UNITS, _SPACES)
    return ["".join(map(dice.choice, parts)) for _ in range(count)]


@pytest.mark.parametrize(
    ("setting", "unit", "table"),
    [
        ("statement_timeout", "ms", MILLISECONDS),
        ("tcp_keepalives_idle", "s", SECONDS),
    ],
)
async def test_times_are_read_as_the_server_reads_them(
    stage: Stage, setting: str, unit: str, table: dict[str, int | None]
) -> None:
    """Whatever may be written for a setting is understood; what may not, is not."""
    session = await stage.connect(Client("app"))
    kernel = await take(session, setting, "0")
    for text in [*table, *some_times(300)]:
        ours = parse_integer(text, unit)
        if ours is not None and ours > MOST[setting]:
            continue
        theirs = await take(session, setting, text)
        if theirs is None:
            assert ours is None or ours < 0, text
        else:
            assert theirs == (ours or kernel), text
        if text in table:
            assert ours == table[text], text


# Linux takes no longer keepalives.
MOST: Final = {"statement_timeout": 2**31 - 1, "tcp_keepalives_idle": 32767}


async def take(session: Session, setting: str, text: str) -> int | None:
    """Give what the server makes of the text, for one statement; None where it refuses it."""
    query = """
        SELECT setting::int FROM pg_settings
        WHERE name = %s AND (SELECT set_config(%s, %s, true)) IS NOT NULL
    """
    try:
        cursor = await session.connection.execute(query, (setting, setting, text))
    except psycopg.errors.InvalidParameterValue:
        return None
    [(value,)] = await cursor.fetchall()
    return int(value)
