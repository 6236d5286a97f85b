"""What our role may not see and what the server lacks: each told apart, costing only itself."""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, UNPRIVILEGED, Stage
from tests.integration.watching import Scrape, watching

FROM_ACTIVITY: Final = ("pgconn_slots_used", "pgconn_connections", "pgconn_client_connections")
ERRORS: Final = "pgconn_poll_errors_total"


def told(logs: list[Any], read: str) -> list[Mapping[str, Any]]:
    """Give what was logged of the failures of a read."""
    return [line for line in logs if line["event"] == "poll failed" and line["read"] == read]


def errors_of(scrape: Scrape) -> set[tuple[str, str]]:
    """Give the collectors that failed, with their reasons."""
    return {(key[0], key[1]) for key, n in scrape.table(ERRORS, "collector", "reason").items() if n}


async def test_without_pg_monitor(cluster: Cluster, stage: Stage) -> None:
    """A role that sees only itself says so, and gives no number that means nothing."""
    await stage.open()
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user=UNPRIVILEGED)}) as watch:
            scrape = await watch.after_poll()
            await watch.after_poll(read="settings")
            scrape = await watch.until(lambda s: s.value(ERRORS, collector="statements"))
    assert scrape.value("pgconn_up") == 1
    assert scrape.value("pgconn_privileges_limited") == 1
    assert not scrape.names.intersection(FROM_ACTIVITY)
    assert not [name for name in scrape.names if name.startswith("pgconn_statement")]
    assert scrape.value("pgconn_slots_max") is not None
    assert errors_of(scrape) == {("activity", "privilege"), ("statements", "privilege")}
    for read in ("activity", "statements"):
        [line] = told(logs, read)
        assert line["log_level"] == "warning"
        assert line["cure"].startswith(f'GRANT pg_monitor TO "{UNPRIVILEGED}"')


async def test_the_grant_cures_it(cluster: Cluster, stage: Stage) -> None:
    """The SQL of the log is what helps, without a restart of the exporter."""
    await stage.role("fresh")
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user="fresh")}) as watch:
            await watch.until(lambda s: s.value("pgconn_privileges_limited") == 1)
            [line] = told(logs, "activity")
            await stage.execute(line["cure"])
            scrape = await watch.until(lambda s: s.value("pgconn_privileges_limited") == 0)
    assert scrape.value("pgconn_slots_used") is not None
    assert {"activity"} <= {line["read"] for line in logs if line["event"] == "poll recovered"}


async def test_membership_without_inherit(cluster: Cluster, stage: Stage) -> None:
    """A NOINHERIT member of pg_monitor sees all before 15; from 15 on it is told what helps."""
    await stage.role("noinherit", "LOGIN NOINHERIT")
    await stage.execute("GRANT pg_monitor TO noinherit")
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user="noinherit")}) as watch:
            scrape = await watch.after_poll(read="settings")
            limited = int(cluster.version >= 15)
            assert scrape.value("pgconn_privileges_limited") == limited
            assert (scrape.value("pgconn_slots_used") is None) == bool(limited)
            for line in told(logs, "activity"):
                await stage.execute(line["cure"])
            await watch.until(lambda s: s.value("pgconn_privileges_limited") == 0)
            await watch.until(lambda s: s.table("pgconn_statement_mean_seconds", "queryid"))


async def test_missing_extension(cluster: Cluster, stage: Stage) -> None:
    """A database without the extension costs the statements alone, until it is created."""
    name = await stage.database("bare")
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user="postgres", dbname=name)}) as watch:
            scrape = await watch.until(lambda s: s.value(ERRORS, collector="statements"))
            assert errors_of(scrape) == {("statements", "missing_extension")}
            assert scrape.value("pgconn_up") == 1
            [line] = told(logs, "statements")
            assert line["cure"] == "CREATE EXTENSION pg_stat_statements;"
            assert "'bare'" in line["error"]
            await stage.extension(name, "public")
            await watch.until(lambda s: s.table("pgconn_statement_mean_seconds", "queryid"))


async def test_extension_in_a_schema_of_any_name(cluster: Cluster, stage: Stage) -> None:
    """The extension is found wherever it is; without USAGE there, the grant is told."""
    name = await stage.database("elsewhere")
    await stage.extension(name, 'My "Mon"')
    with capture_logs() as logs:
        async with watching({"demo": cluster.dsn(user=MONITOR, dbname=name)}) as watch:
            scrape = await watch.until(lambda s: s.value(ERRORS, collector="statements"))
            assert errors_of(scrape) == {("statements", "privilege")}
            [line] = told(logs, "statements")
            assert line["cure"] == f'GRANT USAGE ON SCHEMA "My ""Mon""" TO "{MONITOR}";'
            await stage.in_database(name, line["cure"])
            await watch.until(lambda s: s.table("pgconn_statement_mean_seconds", "queryid"))


async def test_missing_preload(new_cluster: NewCluster) -> None:
    """A server without the library costs the statements alone, and the cure is told once."""
    server = new_cluster(shared_preload_libraries="")
    with capture_logs() as logs:
        async with watching({"demo": server.dsn(user=MONITOR)}) as watch:
            # The probe may have a slot for a moment.
            scrape = await watch.until(
                lambda s: (
                    (s.value(ERRORS, collector="statements") or 0) >= 2
                    and s.value("pgconn_slots_used") == 1
                )
            )
    assert errors_of(scrape) == {("statements", "missing_preload")}
    [line] = told(logs, "statements")
    assert "shared_preload_libraries" in line["cure"]


@pytest.mark.parametrize("version", ["1.8", "1.9", "1.10", "1.11"])
async def test_older_extension(cluster: Cluster, stage: Stage, version: str) -> None:
    """The columns follow the version of the extension, not of the server."""
    if not await stage.offers(version):
        assert cluster.version < 17  # only the newest one has them all
        return
    name = await stage.database("older")
    await stage.extension(name, "public", version)
    async with watching({"demo": cluster.dsn(user=MONITOR, dbname=name)}) as watch:
        scrape = await watch.until(lambda s: s.table("pgconn_statement_mean_seconds", "queryid"))
    resets = scrape.value("pgconn_statements_reset_timestamp_seconds")
    assert (resets is None) == (version == "1.8")
