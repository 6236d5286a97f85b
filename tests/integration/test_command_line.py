"""The command line on real servers and real ports: its ends, and what it says of bad input."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import aiohttp
import pytest

from exporter.demo.cluster import Cluster
from tests.integration.processes import daemon, run, start
from tests.integration.staging import MONITOR
from tests.integration.watching import Scrape

# What a version of the server cannot change.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LISTEN = ("--web.listen-address", "127.0.0.1:0")


@pytest.fixture
def config(tmp_path: Path, cluster: Cluster) -> Path:
    """Write a configuration file for the common server."""
    file = tmp_path / "config.yaml"
    file.write_text(
        f"targets:\n  - name: orders\n    dsn: {cluster.dsn(user=MONITOR)}\n"
        "    intervals: {activity: 200ms}\n"
    )
    return file


async def scrape(url: str) -> Scrape:
    """Scrape a process."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        return Scrape(await response.text())


async def until_up(url: str) -> Scrape:
    """Scrape until the only target is up."""
    async with asyncio.timeout(10):
        while True:
            found = await scrape(url)
            if found.value("pgconn_up"):
                return found
            await asyncio.sleep(0.02)


async def test_example_configuration(cluster: Cluster) -> None:
    """The example that we ship is run as it is, against a real server."""
    environ = {"ORDERS_DSN": cluster.dsn(user=MONITOR)}
    arguments = ("--config.file", str(ROOT / "config.example.yaml"), *LISTEN)
    async with daemon(*arguments, environ=environ) as running:
        found = await until_up(running.url)
    assert found.value("pgconn_up", target="orders") == 1


async def test_json_log(config: Path) -> None:
    """The log is JSON where that is asked for."""
    process = await start("--config.file", str(config), "--log.format", "json", *LISTEN)
    assert process.stderr is not None
    line = json.loads(await process.stderr.readline())
    process.terminate()
    assert await process.wait() == 0
    assert line["event"] == "started"
    await process.communicate()


async def test_port_in_use(config: Path) -> None:
    """An address that is taken is one clear line, and status 2."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = await run("--config.file", str(config), "--web.listen-address", address)
    assert ended.status == 2
    assert f"cannot listen on {address}: address already in use" in ended.err
    assert "Traceback" not in ended.err


BAD_CALLS = {
    ("--config.file", "/nowhere.yaml"): "/nowhere.yaml: cannot be read",
    ("run", "--nonsense"): "--nonsense",
    ("--web.listen-address", "nonsense", "--config.file", "{config}"): "--web.listen-address",
    ("--web.telemetry-path", "metrics", "--config.file", "{config}"): "--web.telemetry-path",
    ("--log.level", "loud", "--config.file", "{config}"): "--log.level",
    ("nonsense",): "nonsense",
    ("check-config", "--config.file", "/nowhere.yaml"): "cannot be read",
}


@pytest.mark.parametrize("arguments", BAD_CALLS)
async def test_bad_calls(config: Path, arguments: tuple[str, ...]) -> None:
    """What cannot be run is said in words that name it, with status 2."""
    ended = await run(*(argument.format(config=config) for argument in arguments))
    assert ended.status == 2
    assert BAD_CALLS[arguments] in ended.err
    assert "Traceback" not in ended.err


async def test_bad_file(tmp_path: Path) -> None:
    """Every error of a file is told with its line: status 2 to run it, 1 to check it."""
    file = tmp_path / "bad.yaml"
    file.write_text(
        "targets:\n"
        "  - name: orders\n"
        "    dsn: postgresql://u:hunter2@localhost:99999/x\n"
        "    interval: {activity: 1}\n"
        "  - name: orders\n"
        "    dsn: ${NOT_SET_ANYWHERE}\n"
    )
    ran = await run("--config.file", str(file))
    checked = await run("check-config", "--config.file", str(file))
    assert (ran.status, checked.status) == (2, 1)
    assert ran.err == checked.err
    assert "Traceback" not in ran.err
    assert "hunter2" not in ran.err
    for told in (":3: ", ":4: ", "'intervals'", ":5: ", ":6: ", "NOT_SET_ANYWHERE"):
        assert told in ran.err, ran.err


async def test_check_config_of_a_good_file(config: Path) -> None:
    """A good file is said to be good, with status 0."""
    ended = await run("check-config", "--config.file", str(config))
    assert (ended.status, ended.err) == (0, "")
    assert "good" in ended.out


@pytest.mark.parametrize("command", [(), ("run",), ("check-config",), ("demo",)])
async def test_help(command: tuple[str, ...]) -> None:
    """Every command has help with an example."""
    ended = await run(*command, "--help")
    assert ended.status == 0
    assert "Example" in ended.out or not command
