"""SIGTERM at any moment: the daemon ends within 2 s, with status 0, and leaves no session."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp
import pytest

from exporter.demo.cluster import Cluster
from exporter.demo.ports import free_port
from tests.integration.backends import serving, stopped
from tests.integration.conftest import NewCluster
from tests.integration.networks import Network, needs_root
from tests.integration.processes import COMMAND, Running, daemon
from tests.integration.proxies import (
    MANNERS,
    Proxy,
    closes,
    names_no_encoding,
    never_answers,
    speaks_garbage,
    speaks_garbage_after_login,
)
from tests.integration.slots import fill
from tests.integration.staging import MONITOR, PATIENCE, Client, Stage, eventually
from tests.integration.watching import Target, Watch, config_text

# What a version of the server cannot change.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROMISED = 2.0  # seconds from the signal to the end
LEEWAY = 2.0  # seconds that a busy machine may add; what waits for a hung server takes 30 s
STEP = 0.05  # seconds between the moments at which a start is interrupted
HUNDRED = 100  # targets
HANGING_BY_NOW = 0.5  # seconds after which one of the polls hangs that come every 200 ms
TOGETHER = 2  # starts that run at the same time

NEVER = ("Traceback", "never retrieved", "was destroyed", "never awaited", "WARNING", "Warning")
RUN = (*COMMAND, "run", "--config.file")
CONSOLE_SCRIPT = "import sys; from exporter.__main__ import main; sys.exit(main())"

Configure = Callable[..., Path]
"""Writes a configuration file of targets, and settings that stand under `defaults`."""


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Give what writes configuration files; a statement may hang for longer than a test."""

    def write(targets: Mapping[str, Target], **settings: object) -> Path:
        file = tmp_path / "config.json"
        file.write_text(config_text(targets, **{"query_timeout": "30s", **settings}))
        return file

    return write


# --- How it ends


async def end_well(process: Process, *numbers: signal.Signals, said: str = "event=stopped") -> None:
    """Send signals, SIGTERM if none are named; `said` is in the last line of the log."""
    begun = time.monotonic()
    for number in numbers or (signal.SIGTERM,):
        # Not by send_signal: of a process that the one before has ended it takes the status away.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    async with asyncio.timeout(PATIENCE):
        _, err = await process.communicate()
    seconds = time.monotonic() - begun
    log = err.decode()
    assert process.returncode == 0, log
    assert seconds < PROMISED + LEEWAY, log
    assert [word for word in NEVER if word in log] == [], log
    assert said in (log.splitlines() or [""])[-1], log


@contextlib.asynccontextmanager
async def started(file: Path) -> AsyncIterator[Running]:
    """Run the daemon on a configuration file."""
    async with daemon("--config.file", str(file)) as running:
        yield running


@contextlib.asynccontextmanager
async def launched(*command: str, stderr: int = PIPE) -> AsyncIterator[Process]:
    """Start a command, and wait for nothing; a test that fails leaves nothing behind."""
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=stderr)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def our_backends(server: Cluster) -> list[int]:
    """Give the processes that serve us, or let us log in, which no view shows before 18."""
    return [pid for pid, title in serving(server).items() if MONITOR in title]


async def has_backends(server: Cluster) -> None:
    """Wait until a session of ours is there."""

    async def look() -> bool:
        return bool(our_backends(server))

    await eventually(look)


async def at_rest(running: Running, server: Cluster) -> int:
    """Wait until the session that is kept is the only one, that of the probe over; give its pid."""

    async def look() -> int | None:
        pids = our_backends(server)
        return pids[0] if len(pids) == 1 else None

    async with aiohttp.ClientSession() as session:
        watch = Watch(running.url, session)
        await watch.until(lambda s: s.value("pgconn_up") and s.all("pgconn_probe_success"))
    pid = await eventually(look)
    assert pid is not None
    return pid


async def left_nothing(server: Cluster) -> None:
    """Wait until the server has no session of ours any more."""

    async def look() -> bool:
        return not our_backends(server)

    await eventually(look)


# --- While it starts


async def takes_signals(process: Process) -> None:
    """Wait until the main thread of a process has left SIGTERM to another one."""
    async with asyncio.timeout(PATIENCE):
        while not blocked(process) & 1 << (signal.SIGTERM - 1):
            assert process.returncode is None
            await asyncio.sleep(0.001)


def blocked(process: Process) -> int:
    """Give the signals that the main thread of a process does not take, as a mask."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"^SigBlk:\s*(\w+)$", status, re.MULTILINE)
        assert found is not None
        return int(found[1], 16)
    return 0


async def until_started(process: Process) -> None:
    """Wait for the first line of the log."""
    assert process.stderr is not None
    assert b"event=started" in await process.stderr.readline()


@pytest.mark.parametrize(("since", "moments"), [(takes_signals, 16), (until_started, 3)])
async def test_a_signal_at_any_moment_of_the_start(
    configure: Configure,
    cluster: Cluster,
    since: Callable[[Process], Awaitable[None]],
    moments: int,
) -> None:
    """From the first line of ours to the first polls there is no moment at which it ends badly."""
    file = configure({f"t{n}": cluster.dsn(user=MONITOR) for n in range(3)})
    alone = asyncio.Semaphore(TOGETHER)

    async def interrupt(delay: float) -> bool:
        """Tell whether it ended by itself; before it has started, there is nothing to tell."""
        async with alone, launched(*RUN, str(file)) as process:
            await since(process)
            await asyncio.sleep(delay)
            process.terminate()
            ended = await asyncio.wait_for(process.communicate(), PROMISED + LEEWAY)
        log = ended[1].decode()
        assert process.returncode == 0, log
        assert [word for word in NEVER if word in log] == [], log
        return not log or "event=stopped" in log.splitlines()[-1]

    well = await asyncio.gather(*(interrupt(number * STEP) for number in range(moments)))
    # Those of one moment may have had no processor for so long that they were ended by force.
    assert well.count(False) <= TOGETHER
    await left_nothing(cluster)


@pytest.mark.parametrize("command", [COMMAND, (sys.executable, "-c", CONSOLE_SCRIPT)])
async def test_signals_are_taken_before_the_imports(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    """A signal that comes while Python still imports ends it well: nothing is loaded yet."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The first of the packages that are imported, which takes until we have seen enough.
    (tmp_path / "typer.py").write_text(f"open({str(pipe)!r}).read()\n")
    async with launched("env", f"PYTHONPATH={tmp_path}", *command, "run") as process:
        with held(await opened(pipe)):
            loaded = Path(f"/proc/{process.pid}/maps").read_text()
            assert "psycopg" not in loaded
            assert "pydantic" not in loaded
            await end_well(process, said="")


async def test_only_the_daemon_ends_well(tmp_path: Path) -> None:
    """A check of a file that is interrupted has not said that the file is good."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with launched(*COMMAND, "check-config", "--config.file", str(pipe)) as process:
        with held(await opened(pipe)):
            process.terminate()
            await process.communicate()
        assert process.returncode == -signal.SIGTERM


@contextlib.contextmanager
def held(descriptor: int) -> Iterator[None]:
    """Hold a file open."""
    try:
        yield
    finally:
        os.close(descriptor)


async def opened(pipe: Path) -> int:
    """Open a named pipe for writing once somebody reads it, who then gets nothing to read."""

    async def look() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            return None

    descriptor = await eventually(look)
    assert descriptor is not None
    return descriptor


async def test_while_it_reads_its_file(tmp_path: Path) -> None:
    """A file that does not come does not hold the end up."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with launched(*RUN, str(pipe)) as process:
        with held(await opened(pipe)):
            await end_well(process, said="")


async def test_nobody_reads_its_log(configure: Configure, cluster: Cluster) -> None:
    """A log that cannot be written holds everything up, but not the end."""
    port = free_port()
    file = configure({"demo": cluster.dsn(user=MONITOR)})
    reading, writing = os.pipe()
    with held(reading), held(writing):
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, bytes(4096))
        os.set_blocking(writing, True)
        address = ("--web.listen-address", f"127.0.0.1:{port}")
        async with launched(*RUN, str(file), *address, stderr=writing) as process:
            await eventually(lambda: listens(port))
            begun = time.monotonic()
            process.terminate()
            assert await process.wait() == 0
            assert time.monotonic() - begun < PROMISED + LEEWAY
    await left_nothing(cluster)


async def listens(port: int) -> bool:
    """Tell whether somebody listens on a port."""
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


# --- While it connects


@contextlib.asynccontextmanager
async def connecting(
    configure: Configure, proxies: Sequence[Proxy], targets: int = 1
) -> AsyncIterator[Running]:
    """Run a daemon that has begun to connect to so many targets behind each proxy."""
    before = [links(proxy.port) for proxy in proxies]
    dsns = [f"postgresql://{MONITOR}:x@127.0.0.1:{proxy.port}/postgres" for proxy in proxies]
    file = configure({f"t{n}": dsn for n, dsn in enumerate(dsns * targets)})
    seen = list(before)

    async def look() -> bool:
        seen[:] = (max(most, links(p.port)) for most, p in zip(seen, proxies, strict=True))
        return all(now >= was + targets for was, now in zip(before, seen, strict=True))

    async with started(file) as running:
        await eventually(look)
        yield running


def links(port: int) -> int:
    """Count the connections to a local port that are made, or are being made."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(line.split()[2].endswith(f":{port:04X}") for line in lines)


async def test_while_the_network_answers_nothing(configure: Configure) -> None:
    """A connection of which not even the first packet is answered is given up."""
    async with Proxy(0) as proxy:
        await proxy.plug()
        async with connecting(configure, [proxy]) as running:
            await end_well(running.process)


ENDING = (closes, speaks_garbage, speaks_garbage_after_login, names_no_encoding)
HANGING = [manner for manner in MANNERS if manner not in ENDING]


async def test_while_servers_break_off_their_answers(configure: Configure) -> None:
    """In whatever state of the protocol it hangs, a connection is given up."""
    async with contextlib.AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(0, manner)) for manner in HANGING]
        async with connecting(configure, proxies) as running:
            await end_well(running.process)


async def test_while_a_hundred_targets_hang(configure: Configure) -> None:
    """However many connections hang, and however often it is told, it ends as fast."""
    async with (
        Proxy(0, never_answers) as proxy,
        connecting(configure, [proxy], HUNDRED) as running,
    ):
        await end_well(running.process, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)


async def test_while_a_hundred_targets_connect(
    configure: Configure, new_cluster: NewCluster
) -> None:
    """Of a hundred connections that are being made at once, none is left on the server."""
    server = new_cluster(max_connections="250")
    dsns = {f"t{n}": server.dsn(user=MONITOR) for n in range(HUNDRED)}
    async with started(configure(dsns)) as running:
        await has_backends(server)
        await end_well(running.process)
        await left_nothing(server)


async def test_while_nobody_can_log_in(
    configure: Configure, cluster: Cluster, stage: Stage
) -> None:
    """A server that hangs while it lets us in is left alone; when it is free, nothing is left."""
    holder = await stage.connect(Client("postgres"))
    await stage.fetch("SELECT")  # it is logged in from here on
    await holder.run("BEGIN; LOCK pg_authid")
    async with started(configure({"demo": cluster.dsn(user=MONITOR)})) as running:
        await has_backends(cluster)
        await stage.until("count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 1260")
        await end_well(running.process)
    await holder.run("ROLLBACK")
    await left_nothing(cluster)


async def test_while_slots_are_exhausted(configure: Configure, new_cluster: NewCluster) -> None:
    """A daemon that tries again and again to get a slot stops trying."""
    server = new_cluster(max_connections="10")
    async with Stage(server) as stage:
        await fill(stage)
        async with started(configure({"demo": server.dsn(user=MONITOR)})) as running:
            await running.logged("reason=too_many_connections")
            await end_well(running.process)
        await left_nothing(server)


# --- While it polls


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_while_all_is_well(
    configure: Configure, cluster: Cluster, number: signal.Signals
) -> None:
    """A daemon that polls and waits ends with either signal."""
    async with started(configure({"demo": cluster.dsn(user=MONITOR)})) as running:
        await running.logged("event=connected")
        await end_well(running.process, number)
    await left_nothing(cluster)


@needs_root
async def test_as_the_first_process(configure: Configure, cluster: Cluster) -> None:
    """In a container it is process 1, to which the kernel hands only the signals that it takes."""
    file = configure({"demo": cluster.dsn(user=MONITOR)})
    wrapper = ("unshare", "--pid", "--fork", "--kill-child")
    async with daemon("--config.file", str(file), wrapper=wrapper) as running:
        outside = running.process.pid
        [inside] = Path(f"/proc/{outside}/task/{outside}/children").read_text().split()
        os.kill(int(inside), signal.SIGTERM)
        await running.logged("event=stopped")
        assert await running.process.wait() == 0
    await left_nothing(cluster)


@pytest.mark.parametrize("whole", [False, True], ids=["own backend", "whole server"])
async def test_while_a_server_is_stopped(
    configure: Configure, cluster: Cluster, *, whole: bool
) -> None:
    """A poll that hangs is given up; the session ends when the server goes on."""
    async with started(configure({"demo": cluster.dsn(user=MONITOR)})) as running:
        pid = await at_rest(running, cluster)
        with stopped(*(cluster.processes() if whole else [pid])):
            await asyncio.sleep(HANGING_BY_NOW)
            await end_well(running.process)
            assert our_backends(cluster) == [pid]
    await left_nothing(cluster)


async def test_while_the_network_is_frozen(
    configure: Configure, cluster: Cluster, stage: Stage
) -> None:
    """A poll whose answer does not come is given up; the session ends when the network is back."""
    forwarder = stage.forwarder("127.0.0.77")
    file = configure({"demo": cluster.dsn(MONITOR, port=str(forwarder.port))})
    async with started(file) as running:
        pid = await at_rest(running, cluster)
        forwarder.freeze()
        # Its answer is on the way, or the next poll: they come every 200 ms.
        await stage.until(
            "clock_timestamp() - state_change > '500ms' FROM pg_stat_activity WHERE pid = %s",
            [pid],
        )
        await end_well(running.process)
        forwarder.thaw()
    await left_nothing(cluster)


@needs_root
async def test_while_the_network_is_dead(configure: Configure, new_cluster: NewCluster) -> None:
    """A goodbye that is lost with us is said again by the kernel, once the network is back."""
    with Network() as network:
        server = network.inside(lambda: new_cluster(listen_addresses="*"))
        server.write_hba([f"host all all {network.here}/32 trust"])
        file = configure({"demo": server.dsn(MONITOR, host=network.there)})
        async with started(file) as running:
            await running.logged("event=connected")
            await has_backends(server)
            network.cut()
            await asyncio.sleep(HANGING_BY_NOW)
            await end_well(running.process)
        assert our_backends(server)
        network.heal()
        await left_nothing(server)


async def test_while_somebody_reads_slowly(configure: Configure, cluster: Cluster) -> None:
    """A scraper that does not read its answers does not hold the end up."""
    async with started(configure({"demo": cluster.dsn(user=MONITOR)})) as running:
        port = int(running.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as reader:
            # More at once than the kernel keeps for us: some answers wait in the daemon.
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            await eventually(lambda: keeps(port, MUCH))
            await end_well(running.process)
    await left_nothing(cluster)


MUCH = 200_000  # bytes: less than the kernel keeps for one connection


async def keeps(port: int, count: int) -> bool:
    """Tell whether the kernel keeps so many bytes that the client of a port has not taken."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sent = [row[4].partition(":")[0] for row in rows if row[1].endswith(f":{port:04X}")]
    return any(int(size, 16) > count for size in sent)


async def test_while_its_password_does_not_come(
    configure: Configure, cluster: Cluster, tmp_path: Path
) -> None:
    """A password file that hangs does not hold the end up."""
    pipe = tmp_path / "password"
    os.mkfifo(pipe)
    target = {"dsn": cluster.dsn(user=MONITOR), "password_file": str(pipe)}
    async with started(configure({"demo": target})) as running:
        with held(await opened(pipe)):
            await end_well(running.process, said="")


async def test_a_look_up_that_hangs_does_not_hold_the_end_up() -> None:
    """What a thread does is left behind when the process ends."""
    program = (
        "import asyncio, time\n"
        "from exporter.cli import run_to_the_end\n"
        "async def work():\n"
        "    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)\n"
        "run_to_the_end(work())\n"
    )
    async with launched(sys.executable, "-c", program) as process, asyncio.timeout(30):
        await process.communicate()
        assert process.returncode == 0


async def test_while_it_reloads(configure: Configure, cluster: Cluster, tmp_path: Path) -> None:
    """A reload of a file that does not come does not hold the end up."""
    file = configure({"demo": cluster.dsn(user=MONITOR)})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with started(file) as running:
        await running.logged("event=connected")
        pipe.rename(file)
        running.process.send_signal(signal.SIGHUP)
        with held(await opened(file)):
            await end_well(running.process)
    await left_nothing(cluster)


async def test_a_reload_that_is_asked_for_too_soon(configure: Configure, cluster: Cluster) -> None:
    """SIGHUP does not end a daemon that still starts: it reloads when it has started."""
    file = configure({"demo": cluster.dsn(user=MONITOR)})
    async with launched(*RUN, str(file)) as process:
        await takes_signals(process)
        process.send_signal(signal.SIGHUP)
        running = Running(process)
        await running.logged("event=started")
        await running.logged("event=reloaded")
        await end_well(process)
