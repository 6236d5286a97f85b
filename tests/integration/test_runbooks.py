"""What the runbooks tell a person to run does what they say, on a server with an incident."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from psycopg import AsyncConnection, OperationalError
from typer.testing import CliRunner

from exporter.cli import app
from exporter.demo.cluster import Cluster
from exporter.demo.ports import free_port
from tests.incidents.programs import answering, program
from tests.integration.cast import SEARCH_PATH, SPARED, Cast, grow_old, make_older
from tests.integration.conftest import SETTINGS, bin_dir
from tests.integration.pgbouncer import pgbouncer
from tests.integration.processes import TOOLS, promtool
from tests.integration.slots import fill
from tests.integration.staging import MONITOR, Client, Stage, eventually, prepare
from tests.unit.runbooks import CURE, FOLDER, LOOK, Block, Page, Statement, index, pages, read

PAGES: Final = pages()
BY_NAME: Final[Mapping[str, Page]] = {page.name: page for page in PAGES}
ROOT: Final = FOLDER.parents[1]
# These have the SQL that makes the exporter's role, too.
DOCUMENTS: Final = ("README.md", "docs/troubleshooting.md")
NEEDS_16: Final = ("pg_use_reserved_connections", "WITH INHERIT")

# Whom each page ends, in the order of its statements.
CELERY: Final = ({"celery idle, old"},)
FORGOTTEN: Final = ({"api in transaction, old", "api aborted, old"},)
REPORTS: Final = ({"reports active, old", "reports, in the way"},)
ENDED: Final[Mapping[str, tuple[set[str], ...]]] = {
    "PgconnDataStale": ({"exporter"},),
    "PgconnTargetUnreachable": CELERY,
    "PgBouncerPoolSaturated": FORGOTTEN,
    "PostgresDeadClientsLinger": CELERY,
    "PostgresIdleInTransaction": FORGOTTEN,
    "PostgresLockWaitLong": ({"api behind migration", "api behind reports"},),
    "PostgresLongTransaction": REPORTS,
    "PostgresOrphanedConnections": CELERY,
    "PostgresOrphansExhaustSlots": CELERY,
    "PostgresQueriesOutliveClient": (
        {"api active, old", "api orphan", "api behind migration", "api behind reports"},
    ),
    "PostgresRootBlockerIdle": ({"migration"},),
    "PostgresSessionsBlocked": ({"reports, in the way"},),
    "PostgresSlowCulprits": REPORTS,
    "PostgresClientExceedsPool": ({"api idle, old"},),
    "PostgresClientHogsSlots": CELERY,
    "PostgresClientPoolSaturated": ({"api active, old", "api orphan"},),
    "PostgresConnectionsRefused": CELERY,
    "PostgresDatabaseLimitNear": CELERY,
    "PostgresRoleLimitNear": CELERY,
    "PostgresSlotsCritical": CELERY,
    "PostgresSlotsExhaustionForecast": CELERY,
    "PostgresSlotsHigh": CELERY,
}
# What is said to do when nobody can log in any more is done so.
WHEN_FULL: Final = ("PostgresConnectionsRefused", "PostgresSlotsCritical")

Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """Run a server whose settings may be changed."""
    with Cluster(bin_dir(), SETTINGS) as cluster:
        prepare(cluster)
        yield cluster


@pytest.fixture
async def incident(server: Cluster) -> AsyncIterator[Cast]:
    """Stage an incident, and clear everything away."""
    async with Stage(server) as stage, older(stage):
        await stage.execute("ALTER ROLE celery CONNECTION LIMIT 40")
        await stage.execute("ALTER DATABASE shop CONNECTION LIMIT 90")
        players = Cast(stage)
        await players.complete()
        yield players
        await players.leave_nothing()


@asynccontextmanager
async def older(stage: Stage) -> AsyncIterator[None]:
    """Let sessions look older than they are, to those with our search path."""
    await make_older(stage)
    try:
        yield
    finally:
        await stage.in_database("shop", "DROP SCHEMA staged CASCADE")


@asynccontextmanager
async def logged_in(
    server: Cluster, user: str = "postgres", **options: str
) -> AsyncIterator[AsyncConnection[Row]]:
    """Log in over the Unix socket, as the runbooks say."""
    given = " ".join(f"-c {name}={value}" for name, value in options.items())
    dsn = server.socket_dsn(user=user, dbname="shop", options=given)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        yield connection


async def rows(connection: AsyncConnection[Row], statement: Statement) -> list[Row]:
    """Run a statement as it stands, and give what it shows."""
    cursor = await connection.execute(statement.text)
    return await cursor.fetchall() if cursor.description else []


async def tried(connection: AsyncConnection[Row], block: Block) -> None:
    """Run a block and take back what it has done."""
    for statement in block.statements:
        if statement.alone:
            await rows(connection, statement)
    await connection.execute("BEGIN")
    for statement in block.statements:
        if not statement.alone and not statement.ends:
            await rows(connection, statement)
    await connection.execute("ROLLBACK")
    await connection.execute("ALTER SYSTEM RESET ALL")
    await connection.execute("SELECT pg_reload_conf()")  # some blocks have had theirs read


# --- On the server


@pytest.mark.usefixtures("incident")
async def test_first_looks(server: Cluster) -> None:
    """Each first look shows something, and needs no more than the exporter's role may."""
    empty = []
    async with logged_in(
        server, MONITOR, search_path=SEARCH_PATH, default_transaction_read_only="on"
    ) as monitor:
        for page in PAGES:
            for block in page.sql(LOOK):
                shown = [await rows(monitor, each) for each in block.statements]
                empty += [page.name] if not all(shown) else []
    assert empty == []


async def all_tried(server: Cluster, *, cures: bool) -> None:
    """Run the blocks of all pages, cures or all others; what waits for a lock fails."""
    async with logged_in(server, search_path=SEARCH_PATH, statement_timeout="5s") as admin:
        for block in (block for page in PAGES for block in page.sql() if not block.since):
            if (block.section == CURE) is cures:
                try:
                    await tried(admin, block)
                except psycopg.Error as error:
                    raise AssertionError(f"{block.page}:\n{block.text}{error}") from error


@pytest.mark.usefixtures("incident")
async def test_during_an_incident(server: Cluster) -> None:
    """Every block that is for the night runs as it stands."""
    await all_tried(server, cures=False)
    async with logged_in(server) as admin:
        assert await rows(admin, Statement("SELECT slot_name FROM pg_replication_slots")) == []


async def test_cures(server: Cluster) -> None:
    """Every block that is for the day after runs as it stands."""
    await all_tried(server, cures=True)


NEWER: Final = [block for page in PAGES for block in page.sql() if block.since]


@pytest.mark.parametrize("block", NEWER, ids=lambda block: f"{block.page}-{block.since}")
async def test_blocks_for_newer_servers(block: Block, server: Cluster) -> None:
    """A block that says which version it needs runs from that one on, and not before."""
    async with logged_in(server) as admin:
        if server.version >= block.since:
            await tried(admin, block)
            return
        with pytest.raises(psycopg.Error):
            await tried(admin, block)
    pytest.skip(f"needs PostgreSQL {block.since}")


async def test_endings(incident: Cast, server: Cluster) -> None:
    """Whoever is shown is ended, nobody else is, and it is whom the page is about."""
    done: dict[str, tuple[set[str], ...]] = {}
    async with logged_in(server, search_path=SEARCH_PATH) as admin:
        for page in PAGES:
            for showing, ending in page.endings:
                await incident.complete()
                names = await ended(incident, admin, showing, ending)
                done[page.name] = (*done.get(page.name, ()), names)
    assert {page: names for page, names in done.items() if names != ENDED.get(page)} == {}
    assert done.keys() == ENDED.keys()
    assert not SPARED & {name for each in done.values() for names in each for name in names}


async def ended(
    incident: Cast, admin: AsyncConnection[Row], showing: Statement, ending: Statement
) -> set[str]:
    """Run what ends somebody, and give whom it did end."""
    before = await incident.there()
    shown = {row[0] for row in await rows(admin, showing)}
    signalled = {row[0] for row in await rows(admin, ending)}
    assert signalled == shown, ending.text
    if "pg_terminate_backend" in ending.text:
        await incident.left(shown)
    else:
        await incident.stopped(shown)
    after = await incident.there()
    gone = before.keys() - after.keys()
    assert gone == (shown if "pg_terminate_backend" in ending.text else set()), ending.text
    return {before[pid] for pid in shown}


async def test_on_a_full_server() -> None:
    """A superuser gets in by the socket, sees who it is, and lets others in again."""
    with Cluster(bin_dir(), SETTINGS | {"max_connections": "12"}) as server:
        prepare(server)
        async with Stage(server) as stage:
            await make_older(stage)
            for page in [BY_NAME[name] for name in WHEN_FULL]:
                holders = await fill(stage, Client("celery", "celery", "127.0.0.12"))
                await grow_old(stage, holders)
                with pytest.raises(OperationalError):
                    await stage.connect(Client("app"))
                await room_is_made(server, page)
                await stage.gone(holders)
                await stage.connect(Client("app"))


async def room_is_made(server: Cluster, page: Page) -> None:
    """Look first, and end whom the page ends."""
    async with logged_in(server, search_path=SEARCH_PATH) as admin:
        [look] = page.sql(LOOK)
        [first, *_] = [row for each in look.statements for row in await rows(admin, each)]
        assert first[0] == "celery"
        for showing, ending in page.endings:
            assert await rows(admin, showing)
            await rows(admin, ending)


# --- Elsewhere


async def test_documents() -> None:
    """What README and troubleshooting tell to run runs, on a server that knows nothing of us."""
    with Cluster(bin_dir()) as server, psycopg.connect(server.dsn(), autocommit=True) as admin:
        for page in [read(ROOT / name) for name in DOCUMENTS]:
            for block in page.sql():
                newer = any(word in block.text for word in NEEDS_16)
                if newer and server.version < 16:
                    continue
                if "CREATE ROLE" not in block.text:
                    admin.execute("CREATE ROLE pgconn_exporter LOGIN")
                for statement in block.statements:
                    admin.execute(statement.text)
                admin.execute("DROP EXTENSION IF EXISTS pg_stat_statements")
                admin.execute("DROP OWNED BY pgconn_exporter")
                admin.execute("DROP ROLE pgconn_exporter")


CONSOLE: Final = [block for page in PAGES for block in page.console]


@pytest.mark.slow  # no version of the server has a say in it
async def test_console(server: Cluster) -> None:
    """What is for PgBouncer's console runs there, and a first look shows who waits."""
    async with pgbouncer(server, default_pool_size="1") as bouncer:
        busy = await bouncer.connect(Client("app", "gunicorn: worker 1"))
        busy.begin("SELECT pg_sleep(3600)")
        waiting = await bouncer.connect(Client("app", "gunicorn: worker 2"))
        waiting.begin("SELECT 1")

        async def waits() -> bool:
            return any(pool["cl_waiting"] for pool in bouncer.show("POOLS"))

        await eventually(waits)
        for block in CONSOLE:
            for statement in block.statements:
                command = statement.text
                shown = await asyncio.to_thread(bouncer.command, command)
                assert shown or block.section != LOOK, f"{block.page}: {command}"


@pytest.mark.slow  # no version of the server has a say in it
async def test_queries(tmp_path: Path) -> None:
    """Every query of the pages is PromQL."""
    queries = [b for page in (*PAGES, index()) for b in page.blocks if b.language == "promql"]
    assert queries
    rules = ["groups:\n- name: runbooks\n  rules:\n"]
    for number, block in enumerate(queries):
        lines = block.text.replace("\n", "\n      ")
        rules.append(f"  - record: query:{number}\n    expr: |\n      {lines}\n")
    file = tmp_path / "rules.yml"
    file.write_text("".join(rules), encoding="utf-8")
    status, said = await promtool("check", "rules", str(file))
    assert status == 0, said


@pytest.mark.slow  # no version of the server has a say in it
def test_exports() -> None:
    """Every threshold and job of the pages can be rendered so."""
    for page in PAGES:
        for line in page.lines("pgconn-exporter export"):
            done = CliRunner().invoke(app, shlex.split(line.partition(" > ")[0])[1:])
            assert done.exit_code == 0, f"{page.name}: {line}\n{done.output}"


@pytest.mark.slow  # no version of the server has a say in it
async def test_silences(tmp_path: Path) -> None:
    """Alertmanager takes the silence of every page."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = tmp_path / "alertmanager.yml"
    settings.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    log = tmp_path / "log"
    command = (
        TOOLS / "alertmanager",
        f"--config.file={settings}",
        f"--storage.path={tmp_path}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    )
    async with program(log, *command):
        await answering(f"{url}/-/ready", log)
        for page in PAGES:
            for line in page.lines("amtool silence"):
                said = (*shlex.split(line), f"--alertmanager.url={url}")
                async with program(log, TOOLS / said[0], *said[1:]) as amtool:
                    assert await amtool.wait() == 0, f"{line}\n{log.read_text()}"
