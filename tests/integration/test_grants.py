"""The SQL that `grants` prints, run on live servers; and what the role can do with it."""

import asyncio
import os
from asyncio.subprocess import PIPE

import pytest
from structlog.testing import capture_logs

from exporter.commands.grants import Wanted, render_grants
from exporter.demo.binaries import embedded
from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.processes import Ended, run
from tests.integration.slots import fill
from tests.integration.staging import ODD_NAMES, UNPRIVILEGED, Stage
from tests.integration.watching import Scrape, watching

ROLE, PROBE = "watcher", "prober"
ERRORS = "pgconn_poll_errors_total"
WITH_RESERVE = 16

PRINTABLE = tuple(name for name in ODD_NAMES if name.isprintable())


async def psql(dsn: str, *arguments: str, given: str = "") -> Ended:
    """Run psql, without a terminal: it reads a password from its standard input, too."""
    process = await asyncio.create_subprocess_exec(
        *(str(embedded() / "psql"), "-X", dsn, *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=os.environ | {"PGCLIENTENCODING": "utf-8"},
        start_new_session=True,
    )
    out, err = await process.communicate(given.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def printed(*arguments: str) -> str:
    """Give what the command prints."""
    ended = await run("grants", *arguments)
    assert (ended.status, ended.err) == (0, "")
    return ended.out


async def apply(server: Cluster, script: str) -> None:
    """Run a script as a superuser, in the database that the exporter connects to."""
    ended = await psql(server.socket_dsn(), "-v", "ON_ERROR_STOP=1", given=script)
    assert ended.status == 0, ended.err
    assert "WARNING" not in ended.err


def is_up(scrape: Scrape) -> bool:
    """Tell whether the server is shown as up."""
    return scrape.value("pgconn_up") == 1


async def test_the_role_works(new_cluster: NewCluster) -> None:
    """The role is all that the exporter needs; before it, the command tells what is missing."""
    server = new_cluster(max_connections="14")
    look = (server.dsn(user=UNPRIVILEGED), "--role", ROLE, "--probe-role", PROBE)
    before = await printed(*look)
    assert f'ALTER ROLE "{ROLE}" LOGIN' in before
    assert "CREATE EXTENSION" not in before  # it is there
    assert ("reserved_connections = 2" in before) == (server.version >= WITH_RESERVE)

    version = ("--server-version", str(server.version))
    script = await printed(*version, "--role", ROLE, "--probe-role", PROBE)
    await apply(server, script)
    await apply(server, script)
    await asyncio.to_thread(server.restart)
    after = await printed(*look)
    assert " 0 are missing" in after
    await apply(server, after)

    target = {"dsn": server.dsn(user=ROLE), "probe": {"dsn": server.dsn(user=PROBE)}}
    with capture_logs() as logs:
        async with watching({"demo": target}) as watch:
            await watch.until(lambda s: s.value("pgconn_probe_success") == 1)
            await watch.after_poll(read="statements")
            scrape = await watch.after_poll()
    assert scrape.value("pgconn_privileges_limited") == 0
    assert scrape.all(ERRORS) == {}
    assert [line for line in logs if line["log_level"] != "info"] == []

    async with Stage(server) as stage:
        await fill(stage)
        async with watching({"demo": target}) as watch:
            await watch.until(lambda s: s.value("pgconn_probe_failures_total", sqlstate="53300"))
            if server.version >= WITH_RESERVE:
                await watch.until(is_up)
            else:
                await watch.until(lambda s: s.value(ERRORS, reason="too_many_connections"))
                assert not is_up(await watch.scrape())


@pytest.mark.slow
async def test_a_role_of_any_name(cluster: Cluster, stage: Stage) -> None:
    """Names are quoted for SQL, and for the command of psql that sets a password."""
    for name in PRINTABLE:
        await stage.role(name, "NOLOGIN NOINHERIT")  # as an administrator may have made it
        # The server is not ours to be set.
        script = render_grants(Wanted(name, major=cluster.version, rds=True))
        await apply(cluster, script)
        [command] = [line[3:] for line in script.splitlines() if line.startswith("-- \\password")]
        ended = await psql(cluster.socket_dsn(), "-c", command, given="secret\nsecret\n")
        assert ended.status == 0, ended.err
    rows = await stage.fetch(
        "SELECT rolname::text FROM pg_authid WHERE rolname = ANY (%s) AND rolconnlimit > 0"
        " AND rolcanlogin AND pg_has_role(oid, 'pg_monitor', 'USAGE') AND rolpassword <> ''",
        [list(PRINTABLE)],
    )
    assert {name for (name,) in rows} == set(PRINTABLE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("postgresql://u:hunter2@127.0.0.1:1/x",), "Connection refused"),
        (("postgresql://u:hunter2@127.0.0.1:99999/x",), "port"),
        (("hunter2",), "the DSN is neither"),
        (("--role", "pg_mine"), "--role: 'pg_mine' begins with pg_"),
        (("--probe-role", "pgconn_exporter"), "--probe-role: must not be"),
        (("--server-version", "12"), "--server-version"),
    ],
)
@pytest.mark.slow
async def test_what_cannot_be_done(arguments: tuple[str, ...], told: str) -> None:
    """It is said in words that name it, with status 2 and without the password."""
    ended = await run("grants", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert "hunter2" not in ended.err
    assert "Traceback" not in ended.err
