"""The command `demo`: PostgreSQL, an application that misbehaves, and the exporter before it."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TextIO

import aiohttp
from rich.console import Console, RenderableType
from rich.live import Live

from exporter.config import Config, parse_config
from exporter.daemon import Daemon
from exporter.demo.application import API_WORKERS, READY
from exporter.demo.binaries import ClusterError
from exporter.demo.cluster import Cluster
from exporter.demo.ports import IPV4, bindable
from exporter.demo.schema import DATABASE
from exporter.demo.summary import Scrape, summary
from exporter.demo.workers import REQUEST_TIMEOUT, THREADS
from exporter.web.server import ListenError

PORT = 10432
EXIT_DONE, EXIT_ERROR = 0, 2
SETTLED = 2.0  # seconds until there is something to see
REDRAWN, PRINTED = 2.0, 6.0  # seconds between summaries, on a terminal and elsewhere
PATIENCE = 5.0  # seconds that the application has to end
WIDTH = 100  # of a summary that goes elsewhere

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# A small server whose statement_timeout is longer than anybody waits: incident number one.
SETTINGS = {"max_connections": "60", "statement_timeout": "60s", "jit": "off"}

CONFIG = f"""
web: {{listen_address: "{IPV4}:${{PORT}}"}}
targets:
  - name: demo
    dsn: ${{DSN}}
    proc: true
    intervals: {{probe: 5s, databases: 5s, statements: 5s, settings: 5s}}
clients:
  - name: api
    match: {{application_name: "gunicorn*", usename: app}}
    request_timeout: {REQUEST_TIMEOUT:.0f}s
    pool_size: {API_WORKERS * THREADS}
  - name: reports
    match: {{usename: reports}}
  - name: celery
    match: {{application_name: "celery*"}}
    idle_timeout: 15s
  - name: migration
    match: {{usename: deploy}}
"""


class DemoError(Exception):
    """The demo cannot run, for a reason that its user can mend."""


async def run_demo(port: int | None, duration: float | None, out: TextIO) -> int:
    """Run the demo until it is interrupted or its time is over; return the exit code."""
    try:
        await interruptible(show(port, duration, out))
        tell(out, "Ended: PostgreSQL, the application, the exporter and their files are gone.")
    except (ClusterError, DemoError, ListenError) as error:
        tell(sys.stderr, str(error))
        return EXIT_ERROR
    except BrokenPipeError:  # as of `demo | head`; everything has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return EXIT_DONE


def tell(out: TextIO, text: str) -> None:
    """Write a text at once, whatever `out` is."""
    out.write(f"{text}\n")
    out.flush()


async def interruptible(work: Coroutine[None, None, None]) -> None:
    """Await work until the first signal; further ones do not disturb its clearing up."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    interrupted = asyncio.Event()

    def interrupt() -> None:
        if not interrupted.is_set():
            interrupted.set()
            task.cancel()

    for number in SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        if not interrupted.is_set():
            raise
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


async def show(port: int | None, duration: float | None, out: TextIO) -> None:
    """Start everything, show it, and end everything."""
    chosen = choose_port(port)
    tell(out, "Starting PostgreSQL, an application that misbehaves, and the exporter ...")
    with Cluster(settings=SETTINGS) as server:
        async with application(server), exporter(chosen, server) as daemon:
            tell(out, whereabouts(daemon.url, server))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(duration):
                    await summarise(f"{daemon.url}/metrics", out)


def choose_port(port: int | None) -> int:
    """Return the port that was asked for, else our own or, if that is taken, any."""
    if port is None:
        return PORT if bindable(IPV4, PORT) else 0
    if not bindable(IPV4, port):
        raise DemoError(f"port {port} is taken; choose another one with --port")
    return port


def whereabouts(url: str, server: Cluster) -> str:
    """Tell where to look."""
    psql = "psql" if shutil.which("psql") else str(server.bin_dir / "psql")
    return f"""
PostgreSQL {server.version} and the exporter are running; Ctrl-C ends and removes everything.

  metrics     {url}/metrics
  one client  curl -s {url}/metrics | grep 'client="api"'
  server      {psql} {server.dsn(dbname=DATABASE)}
"""


@contextlib.asynccontextmanager
async def application(server: Cluster) -> AsyncIterator[None]:
    """Run the application, each part in a process of its own."""
    log = server.folder / "application.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "exporter.demo.application", str(server.port)),
            stdin=PIPE,  # which ends when we do, however that is
            stdout=PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,  # out of the reach of a terminal's Ctrl-C
        )
    try:
        await await_ready(process, log)
        yield
    finally:
        await end(process)


async def await_ready(process: Process, log: Path) -> None:
    """Wait until the application has made its tables."""
    if process.stdout is None or (await process.stdout.readline()).decode().strip() != READY:
        raise failure(log)


def failure(log: Path) -> DemoError:
    """Tell why the application did not start, in its own words."""
    return DemoError(f"the demo's application did not start:\n{log.read_text()}")


async def end(process: Process) -> None:
    """End the application with all of its processes."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()  # its children notice by their standard input
        await process.wait()


@contextlib.asynccontextmanager
async def exporter(port: int, server: Cluster) -> AsyncIterator[Daemon]:
    """Run the exporter in this process."""
    daemon = Daemon(configuration(port, server))
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()


def configuration(port: int, server: Cluster) -> Config:
    """Return the exporter's configuration, as a file would say it."""
    values = {"PORT": str(port), "DSN": server.dsn("pgconn_exporter")}
    return parse_config(CONFIG, "demo", values)


async def summarise(url: str, out: TextIO) -> None:
    """Show the summary again and again: in place on a terminal, else below one another."""
    await asyncio.sleep(SETTLED)
    async with aiohttp.ClientSession() as session:
        if out.isatty():
            await redraw(session, url, out)
        else:
            await append(session, url, out)


async def redraw(session: aiohttp.ClientSession, url: str, out: TextIO) -> None:
    """Show each summary in the place of the last one."""
    console = Console(file=out, highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(await look(session, url), refresh=True)
            await asyncio.sleep(REDRAWN)


async def append(session: aiohttp.ClientSession, url: str, out: TextIO) -> None:
    """Show each summary below the last one."""
    console = Console(file=out, width=WIDTH, highlight=False)
    while True:
        with console.capture() as text:  # a broken pipe would make it end the process
            console.print(await look(session, url))
        tell(out, "\n".join(line.rstrip() for line in text.get().splitlines()) + "\n")
        await asyncio.sleep(PRINTED)


async def look(session: aiohttp.ClientSession, url: str) -> RenderableType:
    """Scrape the exporter as Prometheus does, and sum up what it says."""
    async with session.get(url) as response:
        return summary(Scrape(await response.text()))
