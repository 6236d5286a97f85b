"""Reload: only what changed is touched, and a bad file changes nothing."""

import asyncio
import gc
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest
from structlog.testing import capture_logs

from exporter.config import load_config
from exporter.daemon import Daemon
from exporter.demo.cluster import Cluster
from exporter.demo.ports import free_port
from exporter.poller import Poller
from tests.integration.backends import stopped
from tests.integration.conftest import NewCluster
from tests.integration.pgbouncer import pgbouncer
from tests.integration.processes import daemon
from tests.integration.staging import APP, MONITOR, Stage, eventually
from tests.integration.watching import POLLS, Scrape, Target, Watch, config_text

# What a version of the server cannot change.
pytestmark = pytest.mark.slow

SUCCESSFUL = "pgconn_config_last_reload_successful"
PROBED = "pgconn_probe_success"
HANGING_BY_NOW = 0.4  # seconds after which one of the polls hangs that come every 200 ms
LOADED = "pgconn_config_last_reload_success_timestamp_seconds"
OWN = """
SELECT pid, application_name FROM pg_stat_activity WHERE application_name ~ '^pgconn-exporter|^own'
ORDER BY pid
"""


def patient(targets: Mapping[str, Target], **settings: object) -> str:
    """Write a configuration by which no connection is given up because the machine is busy."""
    return config_text(targets, **{"query_timeout": "10s", **settings})


class Reloadable(Watch):
    """A running daemon whose configuration is in a file."""

    def __init__(self, url: str, session: aiohttp.ClientSession, file: Path) -> None:
        super().__init__(url, session)
        self.file = file

    def write(self, targets: Mapping[str, Target], **settings: object) -> None:
        """Write the file anew."""
        self.file.write_text(patient(targets, **settings))

    async def reload(self) -> tuple[int, str]:
        """Ask for a reload; give status and text."""
        async with self.session.post(f"{self.url}/-/reload") as response:
            return response.status, await response.text()

    async def go_over(self, targets: Mapping[str, Target], **settings: object) -> None:
        """Write the file anew and have it loaded, which must succeed."""
        self.write(targets, **settings)
        status, text = await self.reload()
        assert status == 200, text


@asynccontextmanager
async def reloadable(
    file: Path, targets: Mapping[str, Target], **settings: object
) -> AsyncIterator[Reloadable]:
    """Watch servers by a file that can be changed."""
    file.write_text(patient(targets, **settings))
    running = Daemon(load_config(file, {}), load=lambda: load_config(file, {}), lifecycle=True)
    async with aiohttp.ClientSession() as session:
        await running.start()
        try:
            yield Reloadable(running.url, session, file)
        finally:
            await running.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a place for a configuration file."""
    return tmp_path / "config.yaml"


def named(cluster: Cluster, name: str) -> str:
    """Give a DSN whose sessions have a name, by which the server tells them apart."""
    return cluster.dsn(user=MONITOR, application_name=f"own-{name}")


async def pids(stage: Stage, name: str) -> list[int]:
    """Give the backends of the sessions of a name."""
    return [pid for pid, application in await stage.fetch(OWN) if application == f"own-{name}"]


def all_up(scrape: Scrape, *names: str) -> bool:
    """Tell whether exactly these targets are watched, and up."""
    return scrape.table("pgconn_up", "target") == {(name,): 1 for name in names}


async def at_rest(watch: Watch, stage: Stage, *names: str) -> list[int]:
    """Wait until targets are up and have one session each, the probe's over; give the backends."""
    await watch.until(
        lambda s: all_up(s, *names) and s.table(PROBED, "target").keys() == {(n,) for n in names}
    )

    async def look() -> list[int]:
        found = [await pids(stage, name) for name in names]
        assert [len(each) for each in found] == [1] * len(names), found
        return [pid for [pid] in found]

    return await eventually(look)


async def still(stage: Stage, name: str, kept: int) -> None:
    """Wait until the session of a name is the one that it was: a probe's may be there, too."""

    async def look() -> bool:
        return await pids(stage, name) == [kept]

    await eventually(look)


async def test_a_good_file_touches_only_what_changed(
    file: Path, cluster: Cluster, stage: Stage
) -> None:
    """The others keep connection, pid and counters; a removed target leaves nothing behind."""
    before: dict[str, Target] = {name: named(cluster, name) for name in ("same", "moved", "gone")}
    before["slower"] = named(cluster, "slower")
    async with reloadable(file, before) as watch:
        same, moved, gone, slower = await at_rest(watch, stage, *before)
        first = await watch.after_poll("same")
        after: dict[str, Target] = {
            "same": before["same"],
            "moved": named(cluster, "elsewhere"),
            "slower": {"dsn": named(cluster, "slower"), "slow_query_after": "9s"},
            "new": named(cluster, "new"),
        }
        with capture_logs() as logs:
            await watch.go_over(after)
        scrape = await watch.until(lambda s: all_up(s, *after))
        await still(stage, "same", same)
        await still(stage, "slower", slower)
        await stage.until("count(*) = 0 FROM pg_stat_activity WHERE pid IN (%s, %s)", [moved, gone])
        for collector in ("activity", "settings", "databases"):
            series = {"target": "same", "collector": collector}
            assert (scrape.value(POLLS, **series) or 0) >= (first.value(POLLS, **series) or 1)
        counters = {name for name, _ in first.samples if name.endswith("_total")}
        for name, labels in first.samples:
            if name in counters and dict(labels).get("target") == "same":
                assert scrape.samples[name, labels] >= first.samples[name, labels]
        assert 'target="gone"' not in scrape.text
        assert scrape.value(SUCCESSFUL) == 1
        assert (scrape.value(LOADED) or 0) > (first.value(LOADED) or 0)
    [line] = [line for line in logs if line["event"] == "reloaded"]
    assert {key: line[key] for key in ("targets", "added", "changed", "removed")} == {
        "targets": 4,
        "added": 1,
        "changed": 2,
        "removed": 1,
    }
    assert {line["target"] for line in logs if line["event"] == "connected"} <= {"moved", "new"}


BAD_FILES = {
    "targets: [": "config.yaml:1",
    "targets: []": "targets",
    "targets: [{name: demo, dsn: 'host=a password=hunter2', intervall: 1s}]": "intervall",
    "targets: [{name: demo, dsn: 'postgresql://a:hunter2@[b/c'}]": "dsn",
}


async def test_a_bad_file_changes_nothing(file: Path, cluster: Cluster, stage: Stage) -> None:
    """The last good configuration stays in force, and answer, log and metric say so."""
    targets: dict[str, Target] = {"demo": named(cluster, "demo")}
    async with reloadable(file, targets) as watch:
        [kept] = await at_rest(watch, stage, "demo")
        first = await watch.scrape()
        for text, named_in_error in BAD_FILES.items():
            file.write_text(text)
            with capture_logs() as logs:
                status, said = await watch.reload()
            assert status == 500
            assert named_in_error in said
            [line] = [line for line in logs if "reload" in line["event"]]
            assert line["event"] == "reload failed"
            assert named_in_error in line["error"]
            assert "hunter2" not in said + str(logs)
        file.unlink()
        status, said = await watch.reload()
        assert (status, "cannot be read" in said) == (500, True)
        scrape = await watch.after_poll()
        assert all_up(scrape, "demo")
        assert scrape.value(SUCCESSFUL) == 0
        assert scrape.value(LOADED) == first.value(LOADED)
        await still(stage, "demo", kept)
        await watch.go_over(targets)
        assert (await watch.scrape()).value(SUCCESSFUL) == 1
        await still(stage, "demo", kept)


async def test_reload_is_not_for_everybody(cluster: Cluster, file: Path) -> None:
    """Without --web.enable-lifecycle nobody reloads over HTTP."""
    file.write_text(config_text({"demo": named(cluster, "demo")}))
    running = Daemon(load_config(file, {}), load=lambda: load_config(file, {}))
    async with aiohttp.ClientSession() as session:
        await running.start()
        status, said = await Reloadable(running.url, session, file).reload()
        await running.stop()
    assert status == 403
    assert "--web.enable-lifecycle" in said


async def test_listening_elsewhere(file: Path, cluster: Cluster) -> None:
    """Another listen_address is gone over to, unless it is taken: then nothing changes."""
    text = patient({"demo": named(cluster, "demo")})
    async with reloadable(file, {"demo": named(cluster, "demo")}) as watch:
        await watch.until(lambda s: all_up(s, "demo"))
        document = json.loads(text)
        document["web"]["listen_address"] = f"127.0.0.1:{cluster.port}"
        file.write_text(json.dumps(document))
        status, said = await watch.reload()
        assert status == 500
        assert "address already in use" in said
        assert (await watch.scrape()).value(SUCCESSFUL) == 0
        port = free_port()
        document["web"]["listen_address"] = f"127.0.0.1:{port}"
        file.write_text(json.dumps(document))
        assert (await watch.reload())[0] == 200
        watch.url = f"http://127.0.0.1:{port}"
        scrape = await watch.scrape()
        assert scrape.value(SUCCESSFUL) == 1
        assert all_up(scrape, "demo")


async def test_a_pooler_comes_and_goes(file: Path, cluster: Cluster, stage: Stage) -> None:
    """A server whose PgBouncer is added or removed keeps its connection, and learns of it."""
    server: dict[str, Target] = {"demo": named(cluster, "demo")}
    strict = {"orphans": {"idle_after": "100ms"}}

    def accused(scrape: Scrape) -> int:
        return len(scrape.all("pgconn_orphaned_connections", target="demo", datname="shop"))

    async with pgbouncer(cluster) as bouncer:
        client = await bouncer.connect(APP)
        await client.run("SELECT 1")  # over a connection that the pool keeps idle from now on
        pool: Target = bouncer.target(server="demo")
        async with reloadable(file, server, **strict) as watch:
            await watch.until(accused)
            [kept] = await at_rest(watch, stage, "demo")
            await watch.go_over(server | {"pool": pool}, **strict)
            await watch.until(lambda s: all_up(s, "demo", "pool") and not accused(s))
            await watch.go_over(server, **strict)
            scrape = await watch.until(accused)
            assert all_up(scrape, "demo")
            await still(stage, "demo", kept)


async def test_a_target_that_hangs_holds_up_nobody_else(
    file: Path, cluster: Cluster, new_cluster: NewCluster
) -> None:
    """While a target that hangs is ended, the others are polled; then the reload is over."""
    frozen = new_cluster()
    targets: dict[str, Target] = {"demo": named(frozen, "demo"), "good": named(cluster, "good")}
    settings = {"query_timeout": "2s"}
    async with Stage(frozen) as staged, reloadable(file, targets, **settings) as watch:
        await watch.until(lambda s: all_up(s, "demo", "good") and len(s.all(PROBED)) == 2)
        await staged.until("count(*) = 1 FROM pg_stat_activity WHERE application_name = 'own-demo'")
        [pid] = await pids(staged, "demo")
        with stopped(pid):
            # A poll that begins after that hangs, and is what the reload has to wait for.
            await asyncio.sleep(HANGING_BY_NOW)
            hanging = await watch.scrape()
            slower: Target = {"dsn": named(frozen, "demo"), "slow_query_after": "9s"}
            begun = time.monotonic()
            await watch.go_over({"demo": slower, "good": targets["good"]}, **settings)
            spent = time.monotonic() - begun
            over = await watch.scrape()
            await watch.until(lambda s: all_up(s, "demo", "good"))
        good = {"target": "good", "collector": "activity"}
        polls = (over.value(POLLS, **good) or 0) - (hanging.value(POLLS, **good) or 0)
        # About eight; held up, it would be the one that was under way, or two.
        assert polls >= 0.4 * spent / 0.2


async def test_200_reloads_leak_nothing(file: Path, cluster: Cluster, stage: Stage) -> None:
    """Descriptors, tasks, pollers and sessions are as many after 200 reloads as before."""
    dsn = named(cluster, "demo")
    kinds: list[dict[str, Target]] = [
        {"same": named(cluster, "same"), "demo": dsn},
        {"same": named(cluster, "same"), "demo": {"dsn": dsn, "slow_query_after": "9s"}},
        {"same": named(cluster, "same"), "demo": {"dsn": named(cluster, "other"), "spare": True}},
        {"same": named(cluster, "same")},
    ]
    async with reloadable(file, kinds[0]) as watch:
        kept, _ = await at_rest(watch, stage, "same", "demo")

        async def rest() -> list[int]:
            """Count what there is at least: a poll may be under way when we look."""
            return [min(counts) for counts in zip(*[await look() for _ in range(5)], strict=True)]

        async def look() -> tuple[int, int, int, int]:
            await watch.go_over(kinds[0])
            await watch.after_poll()
            await stage.until("count(*) = 2 FROM pg_stat_activity WHERE application_name ~ '^own'")
            gc.collect()
            pollers = sum(isinstance(thing, Poller) for thing in gc.get_objects())
            # asyncio keeps some threads for what blocks, and starts them one by one.
            threads = [t for t in threading.enumerate() if not t.name.startswith("asyncio_")]
            tasks = len(asyncio.all_tasks())
            return psutil.Process().num_fds(), len(threads), tasks, pollers

        for number in range(20):
            await watch.go_over(kinds[number % len(kinds)])
        before = await rest()
        for number in range(200):
            await watch.go_over(kinds[number % len(kinds)])
        after = await rest()
        assert all(now <= was for now, was in zip(after[:-1], before[:-1], strict=True)), before
        # Something may still refer to the last that ended, but not to 200.
        assert after[-1] <= before[-1] + len(kinds)
        await still(stage, "same", kept)


async def test_sighup(file: Path, cluster: Cluster, stage: Stage) -> None:
    """SIGHUP reloads a process; a bad file is told in its log, and memory does not grow."""
    targets: dict[str, Target] = {"demo": named(cluster, "demo")}
    good, bad = patient(targets), "targets: ["
    file.write_text(good)
    arguments = ("--config.file", str(file), "--web.listen-address", "127.0.0.1:0")
    async with daemon(*arguments) as running, aiohttp.ClientSession() as session:
        watch = Watch(running.url, session)
        [kept] = await at_rest(watch, stage, "demo")
        file.write_text(bad)
        running.process.send_signal(signal.SIGHUP)
        assert "config.yaml:1" in await running.logged('event="reload failed"')
        assert (await watch.scrape()).value(SUCCESSFUL) == 0
        file.write_text(good)
        running.process.send_signal(signal.SIGHUP)
        await running.logged("event=reloaded")
        assert (await watch.scrape()).value(SUCCESSFUL) == 1
        await still(stage, "demo", kept)
        for _ in range(100):  # faster than they can be done: several are one then
            running.process.send_signal(signal.SIGHUP)
        await running.logged("event=reloaded")
        running.process.terminate()
        assert await running.process.wait() == 0
        assert "Traceback" not in await running.rest()
