"""pg_stat_statements on a real server: means, resets, evictions, and texts that are safe."""

from typing import Final

import pytest

from exporter.demo.cluster import Cluster
from tests.integration.conftest import NewCluster
from tests.integration.staging import MONITOR, Stage
from tests.integration.watching import POLLS, Scrape, watching

MEAN: Final = "pgconn_statement_mean_seconds"
RECENT: Final = "pgconn_statement_recent_mean_seconds"
INFO: Final = "pgconn_statement_info"
FIGURES: Final = """
SELECT d.datname, r.rolname, s.queryid::text, sum(s.calls)::float8,
    sum(s.total_exec_time)::float8 / 1000, sum(s.rows)::float8
FROM pg_stat_statements AS s
JOIN pg_database AS d ON d.oid = s.dbid JOIN pg_roles AS r ON r.oid = s.userid
WHERE r.rolname = 'reports' GROUP BY 1, 2, 3
"""

LONGEST: Final = """
SELECT max(max_exec_time) / 1000 FROM pg_stat_statements WHERE query LIKE 'SELECT pg_sleep(%'
"""


def queryid(scrape: Scrape, text: str) -> str | None:
    """Give the queryid of the statement whose text begins so."""
    shown = scrape.table(INFO, "queryid", "query")
    return next((key for key, query in shown if query.startswith(text)), None)


async def test_figures_equal_sql(cluster: Cluster, stage: Stage) -> None:
    """Calls, seconds, rows and lifetime mean are those of pg_stat_statements."""
    await stage.execute("SELECT pg_stat_statements_reset()")
    await stage.as_user("reports", "SELECT pg_sleep(0.2)")
    for _ in range(3):
        await stage.as_user("reports", "SELECT id FROM stock WHERE id < 50")
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        await watch.after_poll(read="statements")
        scrape = await watch.after_poll(read="statements")
    expected = {row[:3]: row[3:] for row in await stage.fetch(FIGURES)}
    assert len(expected) == 2
    labels = ("datname", "usename", "queryid")
    for number, metric in enumerate(("calls", "seconds", "rows")):
        shown = scrape.table(f"pgconn_statement_{metric}_total", *labels, usename="reports")
        assert shown == pytest.approx({key: row[number] for key, row in expected.items()})
    means = {key: row[1] / row[0] for key, row in expected.items()}
    assert scrape.table(MEAN, *labels, usename="reports") == pytest.approx(means)
    assert scrape.table(RECENT, *labels, usename="reports") == {}


async def test_recent_mean_against_lifetime_mean(cluster: Cluster, stage: Stage) -> None:
    """A statement that turned slow shows it in its recent mean long before its lifetime mean."""
    await stage.execute("SELECT pg_stat_statements_reset()")
    for _ in range(50):
        await stage.as_user("reports", "SELECT pg_sleep(0.0)")
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        await watch.after_poll(read="statements")
        await stage.as_user("reports", "SELECT pg_sleep(0.5)")
        scrape = await watch.until(
            lambda s: [v for v in s.all(RECENT, usename="reports").values() if v > 0.4]
        )
        key = queryid(scrape, "SELECT pg_sleep(")
        assert key is not None
        [(longest,)] = await stage.fetch(LONGEST)
        assert longest >= 0.5
        assert scrape.value(RECENT, queryid=key) == pytest.approx(longest)
        assert (scrape.value(MEAN, queryid=key) or 0) < 0.1
        # Without further calls there is no recent mean, and no stale one either.
        scrape = await watch.until(lambda s: s.value(RECENT, queryid=key) is None)
        assert scrape.value(MEAN, queryid=key) is not None


async def test_reset(cluster: Cluster, stage: Stage) -> None:
    """A reset is no negative number: means start anew, and its time is told (14 on)."""
    for _ in range(20):
        await stage.as_user("reports", "SELECT count(*) FROM stock")
    async with watching({"demo": cluster.dsn(user=MONITOR)}) as watch:
        await watch.after_poll(read="statements")
        await stage.execute("SELECT pg_stat_statements_reset()")
        await stage.as_user("reports", "SELECT count(*) FROM stock")
        scrape = await watch.until(
            lambda s: list(s.all("pgconn_statement_calls_total", usename="reports").values()) == [1]
        )
        recent = scrape.all(RECENT, usename="reports")
        assert all(0 < value < 1 for value in recent.values())
        if cluster.version >= 14:
            [(at,)] = await stage.fetch(
                "SELECT extract(epoch FROM stats_reset)::float8 FROM pg_stat_statements_info"
            )
            shown = scrape.value("pgconn_statements_reset_timestamp_seconds")
            assert shown == pytest.approx(at, abs=1e-3)


async def test_top_n_and_evictions(new_cluster: NewCluster) -> None:
    """Only the first of each ranking are shown, and evictions are counted (14 on)."""
    server = new_cluster(0, **{"pg_stat_statements.max": "100"})
    async with (
        Stage(server) as stage,
        watching({"demo": server.dsn(user=MONITOR)}, statements={"top": 3}) as watch,
    ):
        await watch.after_poll(read="statements")
        for number in range(300):
            await stage.as_user("reports", f"SELECT {', '.join('1' * (number + 1))}")
        await stage.as_user("reports", "SELECT pg_sleep(0.3)")
        scrape = await watch.until(lambda s: queryid(s, "SELECT pg_sleep(") is not None)
        # Three rankings of three at each of a few polls: far from the hundreds that there were.
        polls = scrape.value(POLLS, collector="statements") or 0
        assert len(scrape.all(MEAN)) <= 3 * 3 * polls
        if server.version >= 14:
            assert (scrape.value("pgconn_statements_evicted_total") or 0) > 0


SECRETS: Final = (
    "CREATE ROLE keeper LOGIN PASSWORD 'hunter2'",
    "ALTER ROLE keeper PASSWORD 'hunter2'",
    "COMMENT ON ROLE keeper IS 'hunter2'",
    "DO $$ BEGIN PERFORM 'hunter2'; END $$",
    "SET application_name = 'hunter2'",
    "SELECT 1 /* hunter2 */ AS commented",
    "CREATE TABLE kept (a text DEFAULT 'hunter2')",
    "COPY (SELECT 'hunter2') TO '/dev/null'",
    "EXPLAIN SELECT 'hunter2'",
    "NOTIFY ch, 'hunter2'",
    "CREATE VIEW seen AS SELECT 'hunter2'::text AS a",
    "SELECT 'hunter2' AS plain",
    "DROP VIEW seen",
    "DROP TABLE kept",
    "DROP ROLE keeper",
)


async def test_texts_hold_no_secret(cluster: Cluster, stage: Stage) -> None:
    """No literal and no comment of any statement is shown, the statements all are."""
    await stage.execute("SELECT pg_stat_statements_reset()")
    for statement in SECRETS:
        await stage.in_database("postgres", statement)
    async with watching({"demo": cluster.dsn(user=MONITOR)}, statements={"top": 500}) as watch:
        scrape = await watch.until(lambda s: s.all(INFO))
    assert "hunter2" not in scrape.text
    texts = {query for _, query in scrape.table(INFO, "queryid", "query")}
    assert {"CREATE ROLE", "ALTER ROLE", "COMMENT", "DO", "NOTIFY", "CREATE VIEW"} <= texts
    assert "SELECT $1 AS commented" in texts


async def test_a_text_of_a_megabyte_is_cut(cluster: Cluster, stage: Stage) -> None:
    """A text is as long as text_length at the most."""
    columns = ", ".join(f"id AS column_{number}" for number in range(1600))
    await stage.as_user("reports", f"SELECT {columns} FROM stock")
    async with watching(
        {"demo": cluster.dsn(user=MONITOR)}, statements={"top": 500, "text_length": 80}
    ) as watch:
        scrape = await watch.until(lambda s: queryid(s, "SELECT id AS column_0"))
    assert {len(query) for _, query in scrape.table(INFO, "queryid", "query")} <= set(range(81))
