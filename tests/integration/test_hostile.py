"""Hostile data: names, texts, secrets and numbers that no well-meaning client would think of."""

import asyncio
import itertools
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, LiteralString
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from tests.integration.attacks import RawSession, echoing_server, secret_statements, tapped
from tests.integration.conftest import SETTINGS, bin_dir
from tests.integration.processes import daemon, promtool, run
from tests.integration.staging import MONITOR, Client, Stage, prepare
from tests.integration.watching import OPENMETRICS, Scrape, Watch, config_text, watching

INFO: Final = "pgconn_statement_info"
ERRORS: Final = "pgconn_poll_errors_total"
MEGABYTE: Final = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Run a server whose settings let clients do their worst, with databases of each encoding."""
    worst = {
        "track_activity_query_size": "1MB",
        "pg_stat_statements.track": "all",
        "password_encryption": "scram-sha-256",
        "wal_level": "logical",
    }
    with Cluster(bin_dir(), SETTINGS | worst) as cluster:
        prepare(cluster)
        with psycopg.connect(cluster.socket_dsn(), autocommit=True) as admin:
            for encoding in ("SQL_ASCII", "LATIN1"):
                admin.execute(
                    f"CREATE DATABASE {encoding} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
                    " TEMPLATE template0"
                )
        for dbname in ("sql_ascii", "latin1"):
            with psycopg.connect(cluster.socket_dsn(dbname=dbname), autocommit=True) as admin:
                admin.execute("CREATE EXTENSION pg_stat_statements")
        yield cluster


@pytest.fixture
async def stage(server: Cluster) -> AsyncIterator[Stage]:
    """Stage sessions on that server."""
    async with Stage(server) as staged:
        yield staged


@asynccontextmanager
async def raw(cluster: Cluster, *logins: tuple[bytes, bytes, bytes]) -> AsyncIterator[list[int]]:
    """Hold sessions by user, database and application_name; give their pids."""
    sessions = [await RawSession.open(cluster, *login) for login in logins]
    try:
        yield [session.pid for session in sessions]
    finally:
        for session in sessions:
            await session.close()


async def pages(watch: Watch) -> dict[str, str]:
    """Give all that the daemon shows to anybody, by path and format, read gzipped and plain."""
    _, entries = await watch.get("/sd")
    *targets, _own = (entry["labels"] for entry in json.loads(entries))
    names = [labels["__param_target"] for labels in targets]
    paths = [f"/metrics?target={quote(name)}" for name in names]
    paths += ["/metrics", "/metrics?only=exporter"]
    found = {path: (await watch.get(path))[1] for path in ("/", "/sd", "/metrics?target=nobody")}
    for path, accept, coding in itertools.product(
        paths, ("text/plain", OPENMETRICS), ("gzip", "identity")
    ):
        status, text = await watch.get(path, Accept=accept, **{"Accept-Encoding": coding})
        assert status == 200
        found[f"{path} {accept} {coding}"] = text
    return found


async def valid(watch: Watch) -> Scrape:
    """Have every page read by parsers that are not ours, and give that of all targets."""
    for name, page in (await pages(watch)).items():
        if name.startswith("/metrics") and "nobody" not in name:
            Scrape(page, openmetrics=OPENMETRICS in name)
    text = await watch.scrape()
    openmetrics = await watch.scrape(openmetrics=True)
    later = await watch.scrape()  # a poll may come in between
    assert text.names & later.names <= openmetrics.names <= text.names | later.names
    assert await promtool("check", "metrics", given=text.text) == (0, "")
    status, told = await promtool("check", "metrics", "--extended", given=text.text)
    assert status == 0, told
    return text


# --- What clients call themselves

EVERY_BYTE: Final = bytes(range(1, 256))
APPLICATION_NAMES: Final = (
    *(EVERY_BYTE[at : at + 63] for at in range(0, 255, 63)),
    b'x",client="api',
    b"\\",
    b'\\"',
    b"\xc3",
    ("é" * 40).encode(),
    ("é" * 40).encode()[1:],
    b"a" * 70,
    b"\xff" * 63,
    b'# EOF {x="y"} 1',
)
SET_BY = (b"SET application_name = '%s'", b"SELECT set_config('application_name', '%s', false)")
NAMES_OF_APP: LiteralString = """
SELECT array_agg(DISTINCT application_name) FROM pg_stat_activity WHERE usename = 'app'
"""


async def test_application_names_of_every_byte(server: Cluster, stage: Stage) -> None:
    """However an application_name is set, in whatever encoding, each page stays valid."""
    databases = (b"shop", b"sql_ascii", b"latin1")
    logins = [(b"app", db, name) for db in databases for name in APPLICATION_NAMES]
    async with raw(server, *logins) as pids:
        setter = await RawSession.open(server, dbname=b"sql_ascii")
        async with watching({"demo": server.dsn(user=MONITOR)}) as watch:
            for how, name in itertools.product(SET_BY, APPLICATION_NAMES):
                await setter.run(how.replace(b"%s", name.replace(b"'", b"''")))
                if name == EVERY_BYTE[:63]:
                    await watch.after_poll()
                    await valid(watch)
            await watch.after_poll()
            scrape = await valid(watch)
        [(names,)] = await stage.fetch(NAMES_OF_APP)
        await setter.close()
    shown = scrape.table("pgconn_connections", "application_name", "datname", usename="app")
    assert {name for name, _ in shown} == set(names)
    assert sum(shown.values()) == len(pids) + 1
    assert {read for (read,) in scrape.table(ERRORS, "collector")} <= {"statements"}


# --- Names of roles and databases

NAMES: Final = (
    'x",client="api',
    'quo"te"',
    "trail\\",
    "new\n# EOF\n",
    "\r\x1b[2J\t\x7f",
    '{a="b"} 1',
    "${HOME} %s {0}",
    "'; DROP TABLE stock; --",
    "\u2028\ufeff\U0001f418",
    "é" * 31 + "x",
    "".join(map(chr, range(1, 48))),
)
# Bytes that only a database without an encoding takes; two of them differ in nothing else.
RAW_NAMES: Final = (b"caf\xe9", b"caf\xe8", ("é" * 32).encode()[:63], b"\xed\xa0\x80", b"\\xe9")
LIMITS: Final = "pgconn_role_connection_limit"
NAMED_BY: Final = {
    "usename": (LIMITS, "pgconn_timeout_seconds", "pgconn_connections", "pgconn_role_connections"),
    "datname": (
        "pgconn_database_connections",
        "pgconn_database_connection_limit",
        "pgconn_database_deadlocks_total",
    ),
}


def as_shown(name: bytes) -> str:
    """Spell a name as our labels do."""
    return name.decode("utf-8", "backslashreplace")


@asynccontextmanager
async def named(server: Cluster, roles: list[bytes], databases: list[bytes]) -> AsyncIterator[None]:
    """Have roles and databases of any names, with limits and timeouts."""
    admin = await RawSession.open(server, b"postgres", b"sql_ascii")
    for name in map(quoted, roles):
        await admin.run(b"CREATE ROLE %s LOGIN CONNECTION LIMIT 5" % name)
        await admin.run(b"ALTER ROLE %s SET statement_timeout = '7s'" % name)
    for name in map(quoted, databases):
        await admin.run(b"CREATE DATABASE %s CONNECTION LIMIT 9" % name)
    try:
        yield
    finally:
        for name in map(quoted, databases):
            await admin.run(b"DROP DATABASE %s" % name)
        for name in map(quoted, roles):
            await admin.run(b"DROP ROLE %s" % name)
        # What is left of them in pg_stat_statements cannot be converted.
        await admin.run(b"SELECT pg_stat_statements_reset()")
        await admin.close()


def quoted(name: bytes) -> bytes:
    """Quote a name for SQL."""
    return b'"' + name.replace(b'"', b'""') + b'"'


def unseen(
    scrape: Scrape, targets: list[str], roles: list[bytes], databases: list[bytes]
) -> set[tuple[str, str, str]]:
    """Give the names that a metric should have and has not, each with target and metric."""
    return {
        (target, metric, as_shown(name))
        for target in targets
        for label, names in (("usename", roles), ("datname", databases))
        for metric in NAMED_BY[label]
        for name in names
        if (as_shown(name),) not in scrape.table(metric, label, target=target)
    }


async def test_names_of_roles_and_databases(server: Cluster) -> None:
    """Whatever roles and databases are called, they are told apart, from whatever database."""
    targets = {
        'tar"get\\ {x} é ?&#/%': server.dsn(user=MONITOR),
        "bytes": server.dsn(user=MONITOR, dbname="sql_ascii"),
        "latin": server.dsn(user=MONITOR, dbname="latin1"),
    }
    client = 'my",client="api{}\\'
    clients = [{"name": client, "match": {"usename": 'x",client*'}}]
    roles = [*(name.encode() for name in NAMES), *RAW_NAMES]
    databases = [*RAW_NAMES, NAMES[-1].encode()]  # a database is dear
    logins = [*((name, b"shop", b"") for name in roles), *((b"app", db, b"") for db in databases)]
    async with (
        named(server, roles, databases),
        raw(server, *logins),
        watching(targets, clients=clients) as watch,
    ):
        # A database in LATIN1 converts what it sends, to other names.
        await watch.until(lambda s: not unseen(s, list(targets)[:2], roles, databases))
        await watch.until(lambda s: len(s.all(LIMITS, target="latin")) == len(roles))
        scrape = await valid(watch)
    assert set(scrape.table("pgconn_up", "target").values()) == {1}
    assert len(scrape.all("pgconn_connections", client=client)) == len(targets)
    # The texts of what made the roles cannot be converted; nothing else is missing.
    assert {read for (read,) in scrape.table(ERRORS, "collector")} <= {"statements"}


# --- Texts of queries that are no text

NO_TEXT: Final = (
    b"\xff\xfe\xc3",
    b"   \xf0\x9f",
    b"L\xff\xfeSTEN",
    b"/*\xe9*/ SELECT 1",
    b"-- " + b"\xc3" * 60 + b"\nSELECT 1",
    b"\xe2\x82" * 500_000,
)


async def test_queries_that_are_no_text(server: Cluster, stage: Stage) -> None:
    """A client's query of any bytes does not end the poll, with whatever locale it is made."""
    async with utf8_locale(stage) as dbname:
        targets = {
            name: server.dsn(user=MONITOR, dbname=name)
            for name in ("postgres", "sql_ascii", "latin1", dbname)
        }
        sessions = [await RawSession.open(server, dbname=b"sql_ascii") for _ in NO_TEXT]
        for session, query in zip(sessions, NO_TEXT, strict=True):
            await session.run(query, fails=True)
        async with watching(targets) as watch:
            for target in targets:
                await watch.after_poll(target)
            scrape = await valid(watch)
        for session in sessions:
            await session.close()
    assert scrape.table("pgconn_up", "target") == {(name,): 1 for name in targets}
    assert not scrape.all(ERRORS, collector="activity")
    for target in targets:
        shown = scrape.table("pgconn_connections", "state", usename="app", target=target)
        assert shown == {("idle",): len(NO_TEXT)}


@asynccontextmanager
async def utf8_locale(stage: Stage) -> AsyncIterator[str]:
    """Have a database with a locale that looks into characters, where the system has one."""
    for locale in ("C.UTF-8", "en_US.UTF-8"):
        try:
            await stage.execute(
                sql.SQL(
                    "CREATE DATABASE looking LC_CTYPE {0} LC_COLLATE {0} TEMPLATE template0"
                ).format(locale)
            )
        except psycopg.errors.WrongObjectType:
            continue
        break
    else:
        await stage.execute("CREATE DATABASE looking")
    try:
        yield "looking"
    finally:
        await stage.execute("DROP DATABASE looking")


async def test_statements_that_are_no_text(server: Cluster, stage: Stage) -> None:
    """One statement that cannot be converted costs the texts, not the figures; its cure helps."""
    session = await RawSession.open(server, dbname=b"sql_ascii")
    # The literals of a utility statement stay in its text.
    await session.run(b"DO $$ BEGIN PERFORM 'hunter2\xff'; END $$")
    await session.close()
    await stage.as_user("reports", "SELECT pg_sleep(0.01)")
    with capture_logs() as logs:
        async with watching({"demo": server.dsn(user=MONITOR)}, statements={"top": 500}) as watch:
            scrape = await watch.until(lambda s: s.value(ERRORS, collector="statements"))
            assert scrape.all("pgconn_statement_calls_total", usename="reports")
            assert not scrape.all(INFO)
            [cure] = cures(logs)
            await stage.execute(sql.SQL(cure))
            await stage.as_user("reports", "SELECT pg_sleep(0.01)")
            scrape = await watch.until(lambda s: s.all(INFO, usename="reports"))
    assert "hunter2" not in scrape.text + str(logs)
    assert [line for line in logs if line["event"] == "poll recovered"]


def cures(logs: list[Any]) -> list[str]:
    """Give what the log says is to be run."""
    return [line["cure"] for line in logs if "cure" in line]


# --- Cures, which somebody is going to run

ROLES: Final = ('quo"te', "back\\slash\\", "new\nline; DROP TABLE stock; --", "é ${x} %s", "x'y")
MEMBERS: Final = ('quo"te\\n', "a\n; --")  # of pg_monitor: they lack something else


async def test_cures_are_quoted(server: Cluster, stage: Stage, tmp_path: Path) -> None:
    """What the log says is to be run can be run, whatever our role and schema are called."""
    database, schema = "cu\"r'e\\d", 'my "mon"\\'
    await stage.database(database)
    await stage.extension(database, schema)
    for role in ROLES + MEMBERS:
        await stage.role(role)
        await stage.in_database(database, setting(role, database))
        grant = "GRANT pg_monitor TO {}" if role in MEMBERS else "GRANT USAGE ON SCHEMA {1} TO {0}"
        names = sql.Identifier(role), sql.Identifier(schema)
        await stage.in_database(database, sql.SQL(grant).format(*names))
    targets = {
        role.encode().hex(): server.dsn(user=role, dbname=database) for role in ROLES + MEMBERS
    }
    file = tmp_path / "config.json"
    file.write_text(config_text(targets, query_timeout="5s"))
    arguments = ("--config.file", str(file), "--web.listen-address", "127.0.0.1:0")
    async with daemon(*arguments) as running:
        expected = 3 * len(ROLES) + 2 * len(MEMBERS)
        told = [await running.logged("cure") for _ in range(expected)]
        for cure in {unquoted(line) for line in told}:
            await stage.in_database(database, sql.SQL(cure))
        for _ in range(expected):
            await running.logged("recovered")
    assert len(await stage.fetch("SELECT FROM pg_stat_database WHERE datname = 'shop'")) == 1
    await stage.in_database(
        database, sql.SQL("DROP OWNED BY {}").format(names_of(*ROLES, *MEMBERS))
    )


def names_of(*roles: str) -> sql.Composed:
    """List names for SQL."""
    return sql.SQL(", ").join(map(sql.Identifier, roles))


def setting(role: str, database: str) -> sql.Composed:
    """Give our role a timeout that hides the server's own."""
    names = sql.Identifier(role), sql.Identifier(database)
    return sql.SQL("ALTER ROLE {} IN DATABASE {} SET lock_timeout = '9s'").format(*names)


def unquoted(line: str) -> str:
    """Give the cure of a line of the log, where it is quoted as JSON quotes."""
    found = re.search(r' cure=("(?:[^"\\]|\\.)*")', line)
    assert found is not None, line
    return str(json.loads(found[1]))


# --- Texts of a megabyte


async def test_texts_of_a_megabyte(server: Cluster, stage: Stage) -> None:
    """Of what clients run, nothing is sent to us; a statement's text is cut, polls are in time."""
    filler = "x" * MEGABYTE
    await stage.execute("SELECT pg_stat_statements_reset()")
    for number in range(1, 11):  # of each a text of its own
        columns = sql.SQL(", ".join(["id"] * number))
        await stage.as_user(
            "reports",
            sql.SQL("SELECT {} /* {} */ FROM stock").format(
                columns,
                sql.SQL(filler),
            ),
        )
    marked = sql.SQL(f"SELECT pg_sleep(3600) /* hunter2 {filler} */")
    await stage.open(Client("app"), "active", 15, query=marked)
    failing = sql.SQL(f"SELECT 1 / 0 /* hunter2 {filler} */")
    for session in await stage.open(Client("app"), "idle", 5):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await session.run(failing)
    heard: list[bytes] = []
    async with (
        tapped(server, heard.append) as port,
        watching(
            {"demo": server.dsn(user=MONITOR, port=str(port))},
            statements={"top": 500, "text_length": 80},
            query_timeout="5s",
        ) as watch,
    ):
        await watch.until(lambda s: len(s.all(INFO, usename="reports")) >= 10)
        polls, said = polls_of(await watch.scrape()), sum(map(len, heard))
        scrape = await watch.until(lambda s: polls_of(s) >= polls + 5)
        said = sum(map(len, heard)) - said
    assert not scrape.all(ERRORS)
    assert b"hunter2" not in b"".join(heard)
    # Five polls of some 30 sessions, and what else is read meanwhile: no megabyte among it.
    assert said < MEGABYTE / 2
    assert sum(map(len, heard)) < 3 * MEGABYTE
    assert max(len(query) for (query,) in scrape.table(INFO, "query")) <= 80
    assert scrape.value("pgconn_connections", usename="app", state="active") == 15


def polls_of(scrape: Scrape) -> float:
    """Give how many activity polls there were."""
    return scrape.value("pgconn_poll_duration_seconds_count", collector="activity") or 0.0


LONG_TEXTS: LiteralString = """
DO $$ BEGIN FOR n IN 1..200 LOOP
    EXECUTE 'SELECT ' || repeat('n,', n) || 'n /*' || repeat('x', 1000000)
        || '*/ FROM (SELECT 1 AS n) AS s';
END LOOP; END $$
"""


@pytest.mark.slow
async def test_more_texts_than_can_be_read(
    server: Cluster, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server needs too long for all of its texts, the figures are shown without them."""
    await stage.execute("SELECT pg_stat_statements_reset()")
    await stage.in_database("shop", LONG_TEXTS)
    async with watching({"demo": server.dsn(user=MONITOR)}, query_timeout="250ms") as watch:
        await watch.until(lambda s: s.value(ERRORS, collector="statements", reason="timeout"))
        # That cost us a connection; from then on the texts are not asked for.
        for _ in range(3):
            await watch.after_poll(read="statements")
        # A later poll may have taken too long as well, and everything was withdrawn.
        scrape = await watch.until(lambda s: s.all("pgconn_statement_mean_seconds"))
        assert not scrape.all(INFO)
        assert (scrape.value(ERRORS, collector="statements", reason="timeout") or 0) > 3
        await stage.execute("SELECT pg_stat_statements_reset()")
        monkeypatch.setattr("exporter.reads.postgresql.TEXTS_AGAIN", 1.0)  # a quarter of an hour
        await stage.as_user("reports", "SELECT pg_sleep(0.01)")
        await watch.until(lambda s: s.all(INFO, usename="reports"))


# --- Secrets

# What pg_stat_statements shows on every version, so that the test does not look at nothing.
SEEN: Final = {
    *("CREATE ROLE", "ALTER ROLE", "ALTER USER", "ALTER USER MAPPING", "DO", "COMMENT", "LISTEN"),
    *("CREATE TABLE", "COPY", "EXPLAIN", "NOTIFY", "CREATE VIEW", "ALTER SUBSCRIPTION", "CALL"),
    *("CREATE SUBSCRIPTION", "CREATE FUNCTION", "CREATE TYPE", "CREATE USER MAPPING", "SET"),
    *("SELECT ? AS commented", "SELECT ?, ?, ? AS nested", "INSERT INTO secret_t VALUES (?)"),
    "UPDATE secret_t SET a = ? WHERE a = ? || ?",
}


async def test_secrets_in_statements(server: Cluster, stage: Stage) -> None:
    """Of no kind of statement is a literal shown: neither run, nor running, nor failed."""
    await stage.execute("SELECT pg_stat_statements_reset()")
    [session] = await stage.open(Client("postgres", client_addr="local"))
    failed = 0
    for statement in secret_statements():
        try:
            await session.run(sql.SQL(statement))
        except psycopg.Error:
            failed += 1
    assert failed == FAILURES
    await session.run("SET application_name = ''")
    for client in (Client("reports"), Client("postgres")):
        await stage.open(client, "active", query="SELECT pg_sleep(3600), 'hunter' /* hunter */")
        await stage.open(client, "idle in transaction", query="SELECT 'hunter'")
        await stage.open(client, query="LISTEN hunter")
    await stage.prepared_transaction("hunter")
    await stage.queue(1)
    targets = {name: server.dsn(user=MONITOR, dbname=name) for name in ("shop", "latin1")}
    with capture_logs() as logs:
        async with watching(targets, statements={"top": 500, "text_length": 1000}) as watch:
            await watch.until(
                lambda s: len(s.all(INFO)) > len(SEEN) and s.all("pgconn_root_blockers")
            )
            for target in targets:
                scrape = await watch.after_poll(target, "statements")
            shown = await pages(watch)
    told = {re.sub(r"\$\d+", "?", text) for (text,) in scrape.table(INFO, "query", target="shop")}
    assert told >= SEEN, SEEN - told
    assert scrape.all("pgconn_root_blockers", client="prepared transaction")
    assert [page for page, text in shown.items() if "hunter" in text] == []
    assert "hunter" not in str(logs)


FAILURES: Final = 7  # those of attacks.py that are meant to


PASSWORD: Final = "hunter2@db/x:?#[]% '\\é"
ESCAPED: Final = quote(PASSWORD, safe="")
QUOTED: Final = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")


async def test_secrets_in_connection_strings(server: Cluster, tmp_path: Path) -> None:
    """A server that sends back what it was sent gets our password into no log and onto no page."""
    (tmp_path / "password").write_text(PASSWORD)
    real = f"host=127.0.0.1 port={server.port} user={MONITOR} dbname=postgres"
    async with echoing_server() as port:
        here = f"host=127.0.0.1 port={port} user=me dbname=orders"
        targets: dict[str, str | Mapping[str, object]] = {
            "uri": f"postgresql://me:{ESCAPED}@127.0.0.1:{port}/orders",
            "parameter": f"postgresql://me@127.0.0.1:{port}/?password={ESCAPED}",
            "quoted": f"{here} password='{QUOTED}'",
            "file": {"dsn": here, "password_file": str(tmp_path / "password")},
            "options": f"{here} password=x options='-c my.secret=hunter2 --other=hunter2'",
            "certificate": f"{here} sslpassword=hunter2 sslkey='pkcs11:pin=hunter2' password=x",
            "host": f"{here} password=127.0.0.1",
            "value": f"{real} options='-c statement_timeout=hunter2'",
            "name": f"{real} options='-c hunter2.x=1 -c lock_timeout=hunter2'",
        }
        with capture_logs() as logs:
            async with watching(targets, query_timeout="10s") as watch:
                await watch.until(lambda s: len(s.all(ERRORS, collector="activity")) == 9)
                shown = await pages(watch)
    errors = {line["target"]: line["error"] for line in logs if "error" in line}
    assert set(errors) == set(targets)
    assert "you sent *** in user me" in errors["uri"]
    assert "127.0.0.1" in errors["host"]
    assert 'invalid value for parameter "statement_timeout": "***"' in errors["value"]
    assert "hunter2" not in str(shown) + str(logs)


BROKEN: Final = (
    "postgresql://me:hunter2%zz@host/",
    "postgresql://me:hunter2 x@host/",
    "postgresql://me:pass@hunter2@host/",
    "postgresql://me:1/hunter2@host/",
    "postgresql://me:hunter2/1@host/",
    "postgresql://me:x@host:hunter2/",
    "postgresql://me:x@host/?hunter2=1",
    "postgresql://me:x@host/?sslmode=hunter2",
    "postgres:/me:hunter2@host/",
    "host=h password='hunter2",
    "host=h password=a hunter2",
    "host=h hunter2=x",
    "host=h port=hunter2",
    "hunter2",
)


@pytest.mark.slow
async def test_secrets_in_broken_files(server: Cluster, tmp_path: Path) -> None:
    """Connection strings that nobody can parse are quoted by no command, and by no reload."""
    file = tmp_path / "config.json"
    file.write_text(config_text({"demo": server.dsn(user=MONITOR, password="hunter2")}))
    arguments = ("--config.file", str(file))
    listen = ("--web.listen-address", "127.0.0.1:0", "--log.level", "debug")
    async with daemon(*arguments, *listen) as running:
        file.write_text(config_text({f"broken {n}": dsn for n, dsn in enumerate(BROKEN)}))
        running.process.send_signal(signal.SIGHUP)
        failure = await running.logged("reload failed")
        running.process.terminate()
        log = "".join(running.log) + await running.rest()
    ended = [await run(*arguments), await run("check-config", *arguments)]
    assert [command.status for command in ended] == [2, 1]
    for command in ended:
        assert command.err.count(".dsn: ") == len(BROKEN)
        assert "hunter2" not in command.out + command.err
    assert failure.count(".dsn: ") == len(BROKEN)
    assert "hunter2" not in log


# --- Numbers

LIMIT: Final = 30
NEW_STATEMENTS: LiteralString = """
DO $$ BEGIN FOR n IN 1..1500 LOOP
    EXECUTE 'SELECT ' || repeat('n,', n) || 'n FROM (SELECT 1 AS n) AS s';
END LOOP; END $$
"""


@pytest.mark.slow
async def test_names_without_end(server: Cluster, stage: Stage) -> None:
    """New names, roles, addresses and statements all the time: no metric passes its limit."""
    roles = [await stage.role(f"new {n}") for n in range(40)]
    for name in map(sql.Identifier, roles):
        await stage.execute(sql.SQL("ALTER ROLE {} SET lock_timeout = 5").format(name))
    churn = asyncio.create_task(come_and_go(server, 200))
    await stage.in_database("shop", NEW_STATEMENTS)
    async with watching(
        {"demo": server.dsn(user=MONITOR), "good": server.dsn(user=MONITOR, dbname="shop")},
        max_series=LIMIT,
        statements={"top": 500},
        clients=[{"name": "new", "match": {"usename": "new *"}}],
    ) as watch:
        await watch.after_poll()
        for number, role in enumerate(roles):
            client = Client(role, f"name {number}", f"127.0.1.{number % 5 + 1}")
            await stage.open(client, "idle in transaction" if number % 2 else "idle")
        await churn
        for read in ("settings", "databases", "statements"):
            await watch.after_poll(read=read)
        scrape = await watch.after_poll()
        [(there,)] = await stage.fetch(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        await valid(watch)
    assert len(scrape.text) < 200_000
    for target in ("demo", "good"):
        for series in scrape.names:
            assert len(scrape.all(series, target=target)) <= LIMIT, series
    folded = scrape.table("pgconn_series_folded", "metric", target="demo")
    assert {metric for (metric,) in folded} >= {
        *("pgconn_connections", "pgconn_connection_age_max_seconds", "pgconn_role_connections"),
        *("pgconn_connection_state_age_max_seconds", "pgconn_timeout_seconds"),
    }
    for metric in ("pgconn_connections", "pgconn_role_connections", "pgconn_client_connections"):
        assert sum(scrape.all(metric, target="demo").values()) == there
    # What the server itself has stays, and so does the count of all that came by.
    assert scrape.all("pgconn_timeout_seconds", target="demo", setting="lock_timeout", usename="")
    opened = scrape.value("pgconn_connections_opened_total", target="demo", client="new")
    assert opened == len(roles)


async def come_and_go(server: Cluster, count: int) -> None:
    """Open sessions one after the other, each with a name that nobody had before."""
    for number in range(count):
        session = await RawSession.open(server, name=b"comes and goes %d" % number)
        await session.close()
