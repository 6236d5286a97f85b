"""The command line: `pgconn-exporter`, with the flags of the Prometheus ecosystem."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from exporter import __version__, logs
from exporter.commands.export_cli import export
from exporter.commands.failing import EXIT_INVALID, EXIT_USAGE, fail
from exporter.commands.grants import NEWEST, OLDEST, Wanted, name_problem, render_grants
from exporter.config import Config, ConfigError, Web, load_config
from exporter.daemon import Daemon
from exporter.memory import give_back
from exporter.server.access import Access
from exporter.server.dsn import check_dsn
from exporter.server.errors import PollError
from exporter.server.grants import read_grants
from exporter.signals import ending, hangups_are_handled
from exporter.web.server import ListenError

app = typer.Typer(
    name="pgconn-exporter",
    help="Prometheus exporter for the connections of PostgreSQL: who holds them, in which state"
    " and for how long, who is blocked, which query is slow.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[
    Path, typer.Option("--config.file", help="The configuration file.", metavar="FILE")
]
ListenAddress = Annotated[
    str | None,
    typer.Option(
        "--web.listen-address",
        help="Address to listen on, such as :10432; overrides the file.",
        metavar="HOST:PORT",
    ),
]
TelemetryPath = Annotated[
    str, typer.Option("--web.telemetry-path", help="Path of the metrics.", metavar="PATH")
]
Lifecycle = Annotated[
    bool,
    typer.Option("--web.enable-lifecycle", help="Allow POST /-/reload, besides SIGHUP."),
]
Level = Annotated[logs.LogLevel, typer.Option("--log.level", help="Least level to log.")]
LogForm = Annotated[logs.LogFormat, typer.Option("--log.format", help="Format of the log.")]

DEFAULT_FILE = Path("config.yaml")
LOOK_SECONDS = 5.0  # that one look at a server may take


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(f"pgconn-exporter {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command(epilog="Example: pgconn-exporter run --config.file config.yaml")
def run(
    config_file: ConfigFile = DEFAULT_FILE,
    listen_address: ListenAddress = None,
    telemetry_path: TelemetryPath = "/metrics",
    lifecycle: Lifecycle = False,
    level: Level = logs.LogLevel.INFO,
    form: LogForm = logs.LogFormat.LOGFMT,
) -> None:
    """Watch the servers of the configuration and serve metrics (the default command).

    SIGHUP loads the file anew; a bad one changes nothing.
    """
    if not telemetry_path.startswith("/"):
        raise fail(f"--web.telemetry-path: {telemetry_path!r} does not begin with /")
    logs.configure(level, form)

    def load() -> Config:
        return listening_on(load_config(config_file, os.environ), listen_address)

    give_back()
    try:
        run_to_the_end(serve(Daemon(load(), telemetry_path, load, lifecycle=lifecycle)))
    except (ConfigError, ListenError) as error:
        raise fail(str(error)) from None


def listening_on(config: Config, address: str | None) -> Config:
    """Replace the address of the file by that of the flag."""
    if address is None:
        return config
    try:
        return config.model_copy(update={"web": Web(listen_address=address)})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise fail(f"--web.listen-address: {reason}") from None


@app.command(epilog="Example: pgconn-exporter check-config --config.file config.yaml")
def check_config(config_file: ConfigFile = DEFAULT_FILE) -> None:
    """Tell every error of a configuration file, with its line; connects to nothing.

    Exit code: 0 when it is good, 1 when it is not, 2 when it cannot be read.
    """
    try:
        config = load_config(config_file, os.environ)
    except ConfigError as error:
        readable = config_file.is_file() and os.access(config_file, os.R_OK)
        raise fail(str(error), EXIT_INVALID if readable else EXIT_USAGE) from None
    typer.echo(f"{config_file}: good, {len(config.targets)} target(s)")


@app.command(epilog="Example: pgconn-exporter grants --server-version 16 | psql -d postgres")
def grants(
    dsn: Annotated[
        str | None,
        typer.Argument(help="A server to look at: for its version, without what it has."),
    ] = None,
    server_version: Annotated[
        int,
        typer.Option("--server-version", min=OLDEST, help="Major version, without a DSN."),
    ] = NEWEST,
    role: Annotated[str, typer.Option("--role", help="The exporter's role.")] = "pgconn_exporter",
    probe_role: Annotated[
        str | None, typer.Option("--probe-role", help="A role of its own for the probe.")
    ] = None,
    rds: Annotated[bool, typer.Option("--rds", help="For Amazon RDS, without a DSN.")] = False,
) -> None:
    """Print the SQL that makes the exporter's role; changes nothing itself.

    The DSN may be anybody's who can log in. Better than in it, its password is in PGPASSWORD.
    """
    for flag, name in (("--role", role), ("--probe-role", probe_role)):
        if name is not None and (problem := name_problem(name)):
            raise fail(f"{flag}: {name!r} {problem}")
    if role == probe_role:
        raise fail("--probe-role: must not be the exporter's own role")
    wanted = Wanted(role, probe_role, server_version, rds)
    if dsn is not None:
        wanted = looked_at(dsn, wanted)
    typer.echo(render_grants(wanted), nl=False)


def looked_at(dsn: str, wanted: Wanted) -> Wanted:
    """Take over what a server is, and what it has already."""
    if problem := check_dsn(dsn):
        raise fail(f"the DSN {problem}")
    look = read_grants(Access(dsn), wanted.role, wanted.probe_role, LOOK_SECONDS)
    try:
        found = asyncio.run(look)
    except PollError as error:
        raise fail(str(error)) from None
    return replace(wanted, major=found.major, rds=found.equipment.rds, found=found)


app.add_typer(export, name="export")


@app.command(epilog="Example: pgconn-exporter demo --duration 60")
def demo(
    port: Annotated[int | None, typer.Option("--port", help="Port of the metrics.")] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", help="End after so many seconds.")
    ] = None,
) -> None:
    """Start an embedded PostgreSQL, an application that misbehaves, and the exporter."""
    # The daemon does without what the demo needs: an extra brings the server's binaries.
    from exporter.demo.command import run_demo  # noqa: PLC0415

    logs.configure(logs.LogLevel.WARNING, logs.LogFormat.LOGFMT)
    raise typer.Exit(asyncio.run(run_demo(port, duration, sys.stdout)))


def run_to_the_end(work: Coroutine[Any, Any, None]) -> NoReturn:
    """Run a coroutine, cancel it at a signal, and end with status 0 as soon as it has ended.

    asyncio.run would wait for the threads of its executor, and what hangs in one of them, such as
    a file, nothing can end but the end of the process.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    ending.task = loop.create_task(work)
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(ending.task)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def serve(daemon: Daemon) -> None:
    """Run a daemon until it is cancelled, which may happen while it still starts.

    SIGHUP reloads its configuration; several that come meanwhile are one.
    """
    hangups = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangups.set)
    hangups_are_handled()
    await daemon.start()
    # What was made until now stays: a full collection that looks at it again stops us for 25 ms.
    gc.collect()
    gc.freeze()
    try:
        while True:
            await hangups.wait()
            hangups.clear()
            await daemon.reload()
    finally:
        await daemon.stop()
