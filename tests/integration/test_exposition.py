"""The pages that a scraper reads: both formats, checked by the tools of the field."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.cluster import Cluster
from exporter.demo.ports import free_port
from tests.integration.processes import TOOLS, promtool
from tests.integration.staging import MONITOR, ODD_NAMES, Client, Stage, eventually
from tests.integration.watching import Scrape, Watch, watching


@pytest.fixture
def targets(cluster: Cluster) -> dict[str, str]:
    """Give two targets, whose samples are merged by metric."""
    return {"demo": cluster.dsn(user=MONITOR), "shop": cluster.dsn(user=MONITOR, dbname="shop")}


async def staged(stage: Stage, watch: Watch) -> None:
    """Stage what makes every metric of a server appear, and odd names in their labels."""
    for name in ODD_NAMES:
        await stage.role(name)
        await stage.open(Client(name, name), "idle")
    await stage.role("limited", "LOGIN CONNECTION LIMIT 5")
    pile = await stage.pile_up(1)
    await stage.aged(pile.waiters, 0.5, "query_start")
    await watch.until(lambda s: len(s.all("pgconn_role_connection_limit")) == 2)
    await watch.until(lambda s: s.names >= {"pgconn_statement_recent_mean_seconds"})


async def test_promtool_has_nothing_to_say(stage: Stage, targets: dict[str, str]) -> None:
    """`promtool check metrics` accepts the page without a remark."""
    async with watching(targets, slow_query_after="100ms") as watch:
        await staged(stage, watch)
        page = (await watch.scrape()).text
    assert await promtool("check", "metrics", given=page) == (0, "")


async def test_both_formats_say_the_same(stage: Stage, targets: dict[str, str]) -> None:
    """Each parser reads its format, and both find the same series."""
    async with watching(targets, slow_query_after="100ms") as watch:
        await staged(stage, watch)
        await watch.after_poll()

        async def look() -> tuple[Scrape, Scrape]:
            text, openmetrics = await watch.scrape(), await watch.scrape(openmetrics=True)
            # A poll between the two may have found something else.
            assert text.samples.keys() ^ openmetrics.samples.keys() == set()
            return text, openmetrics

        text, openmetrics = await eventually(look)
    assert openmetrics.text.endswith("# EOF\n")
    applications = {key[0] for key in text.table("pgconn_connections", "usename")}
    assert set(ODD_NAMES) <= applications


@pytest.mark.slow
async def test_one_target(targets: dict[str, str]) -> None:
    """`?target=` gives one target alone, and an unknown one is said to be so."""
    async with watching(targets) as watch:
        await watch.after_poll("shop")
        shown = {dict(labels).get("target") for _, labels in (await watch.scrape("shop")).samples}
        status, text = await watch.get("/metrics?target=nobody")
    assert shown == {"shop"}
    assert status == 404
    assert "demo, shop" in text


@pytest.mark.slow
async def test_gzip(targets: dict[str, str]) -> None:
    """Who takes gzip gets it, who does not gets text."""
    async with watching(targets) as watch:
        url = watch.url + "/metrics"
        plain = {"Accept-Encoding": "identity"}
        async with watch.session.get(url, headers=plain) as response:
            assert "Content-Encoding" not in response.headers
            assert (await response.read()).startswith(b"# HELP")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.split(":")[2][:-8]))
        writer.write(b"GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert b"Content-Encoding: gzip" in head
    assert gzip.decompress(body).startswith(b"# HELP")


@pytest.mark.slow
async def test_health_and_readiness(targets: dict[str, str]) -> None:
    """It is healthy while it answers, and ready once each target was polled."""
    async with watching(targets) as watch:
        assert await watch.get("/-/healthy") == (200, "healthy\n")
        await eventually(lambda: ready(watch))
        status, page = await watch.get("/")
    assert status == 200
    assert "/metrics?target=shop" in page


async def ready(watch: Watch) -> bool:
    """Tell whether the daemon says that it is ready."""
    return (await watch.get("/-/ready"))[0] == 200


@pytest.mark.slow
async def test_prometheus_scrapes_it(targets: dict[str, str], tmp_path: Path) -> None:
    """A real Prometheus finds targets and exporter by /sd, scrapes them, and answers queries."""
    async with watching(targets) as watch:
        await watch.after_poll("shop")
        (tmp_path / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s}\n"
            "scrape_configs:\n"
            "  - job_name: pgconn\n"
            f"    http_sd_configs: [{{url: '{watch.url}/sd', refresh_interval: 1s}}]\n"
        )
        port, host = free_port(), watch.url.removeprefix("http://")
        async with prometheus(tmp_path, port):
            query = f"http://127.0.0.1:{port}/api/v1/query?query="

            async def instances(metric: str) -> list[str]:
                found = await answer(watch, query + metric)
                return sorted(sample["metric"]["instance"] for sample in found)

            async def all_scraped() -> bool:
                # Together: after a scrape that came too late, all of a target's are gone for once.
                assert await instances("up==1") == [host, f"{host}/demo", f"{host}/shop"]
                assert await instances("pgconn_slots_used") == [f"{host}/demo", f"{host}/shop"]
                assert await instances("pgconn_config_last_reload_successful") == [host]
                return True

            await eventually(all_scraped, 30)


@asynccontextmanager
async def prometheus(folder: Path, port: int) -> AsyncIterator[None]:
    """Run a Prometheus whose configuration is in a folder."""
    process = await asyncio.create_subprocess_exec(
        TOOLS / "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        await process.wait()


async def answer(watch: Watch, url: str) -> list[dict[str, Any]]:
    """Ask Prometheus; nothing while it does not answer yet."""
    try:
        async with watch.session.get(url) as response:
            if response.status != 200:
                return []
            found = json.loads(await response.text())["data"]["result"]
    except OSError:
        return []
    assert isinstance(found, list)
    return found
