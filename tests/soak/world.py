"""What the soak runs on: two servers, a way to freeze, a pooler, and the exporter."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from exporter.demo.cluster import Cluster
from exporter.demo.forwarder import Forwarder
from tests.integration.conftest import bin_dir
from tests.integration.pgbouncer import PgBouncer, pgbouncer
from tests.integration.staging import MONITOR, PATIENCE, eventually, prepare
from tests.integration.watching import Target, config_text
from tests.soak import tracing

ROOT: Final = Path(__file__).parents[2]

# A tenth of the defaults: the least interval of the activity read is a tenth of a second.
INTERVALS: Final = {
    "activity": "100ms",
    "probe": "1500ms",
    "databases": "1500ms",
    "statements": "3s",
    "settings": "6s",
    "replication": "3s",
}
TRACE_SECONDS: Final = 60.0
ACTIVITY_SECONDS: Final = 0.1

STEADY: Final = ("steady-1", "steady-2")
"""Targets on the server that nothing happens to: they must not miss a poll."""
SHAKEN: Final = ("shaken-1", "shaken-2", "far")
POOLER: Final = "pooler"

CLIENTS: Final = [
    {"name": "web", "match": {"application_name": "web*"}, "request_timeout": "1s"},
    {"name": "jobs", "match": {"usename": "celery"}, "idle_timeout": "1s", "pool_size": 5},
]
SETTINGS: Final = {
    "max_connections": "40",
    "max_prepared_transactions": "5",
    # What is held for each entry is no leak; so few are reached while we warm up.
    "pg_stat_statements.max": "300",
}


class Subject:
    """The exporter in a process of its own."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid
        self.url = ""

    def log_text(self) -> str:
        """Give all that it has logged."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def reloads(self) -> int:
        """Give how often it was done with a reload, whatever came of it."""
        text = self.log_text()
        return text.count("event=reloaded") + text.count('event="reload failed"')

    def seconds_without_processor(self) -> float:
        """Give how long it could have run, but the machine was busy with others."""
        # The main thread's, which is that of the event loop. In nanoseconds.
        _, waited, _ = Path(f"/proc/{self.pid}/schedstat").read_text().split()
        return int(waited) / 1e9

    async def counts(self) -> dict[str, int]:
        """Give the numbers that it tells itself."""
        assert self._process.stdout is not None
        self.signal(signal.SIGUSR1)
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert line, f"the exporter has ended:\n{self.log_text()}"
        found: dict[str, int] = json.loads(line)
        return found

    async def trace(self) -> str:
        """Have it look at its memory, and give what has grown since the first look."""
        before = self.log_text().count(tracing.LOOKED)
        self.signal(signal.SIGUSR2)

        async def found() -> str:
            text = self.log_text()
            return text if text.count(tracing.LOOKED) > before else ""

        text = await eventually(found, TRACE_SECONDS)
        return text.rpartition(tracing.LOOK)[2].partition(tracing.LOOKED)[0].strip()

    async def started(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(PATIENCE):
            while (found := re.search(r"event=started .*url=(\S+)", self.log_text())) is None:
                assert self._process.returncode is None, self.log_text()
                await asyncio.sleep(0.05)
        self.url = found[1]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that faults are done to. `config` is the exporter's file."""

    steady: Cluster
    shaken: Cluster
    network: Forwarder
    pooler: PgBouncer
    subject: Subject
    config: Path

    @property
    def servers(self) -> tuple[Cluster, Cluster]:
        """Give both servers."""
        return self.steady, self.shaken

    def text(self, without: Sequence[str] = (), **changed: Target) -> str:
        """Write the exporter's configuration, or one without some targets and with others."""
        targets = targets_of(self.steady, self.shaken, self.network, self.pooler) | changed
        return configuration({name: t for name, t in targets.items() if name not in without})


def targets_of(
    steady: Cluster, shaken: Cluster, network: Forwarder, pooler: PgBouncer
) -> dict[str, Target]:
    """Give all targets."""
    way = shaken.dsn(user=MONITOR)
    return {
        STEADY[0]: steady.dsn(user=MONITOR),
        # A name to be resolved, and a TCP table to be read, take a thread.
        STEADY[1]: {"dsn": steady.dsn(user=MONITOR, host="localhost"), "proc": True},
        SHAKEN[0]: {"dsn": way, "proc": True},
        SHAKEN[1]: {"dsn": way, "spare": True},
        SHAKEN[2]: shaken.dsn(user=MONITOR, port=str(network.port)),
        POOLER: pooler.target(server=SHAKEN[0]),
    }


def configuration(targets: Mapping[str, Target]) -> str:
    """Write the exporter's configuration."""
    return config_text(
        targets,
        intervals=INTERVALS,
        query_timeout="500ms",
        max_series=200,
        peak_window="1s",
        clients=CLIENTS,
    )


@asynccontextmanager
async def world(flags: Sequence[str]) -> AsyncIterator[World]:
    """Start everything; `flags` are the launcher's own."""
    with (
        TemporaryDirectory() as folder,
        Cluster(bin_dir(), SETTINGS) as steady,
        Cluster(bin_dir(), SETTINGS) as shaken,
        Forwarder("127.0.0.77", shaken.port) as network,
    ):
        for server in (steady, shaken):
            prepare(server)
        async with pgbouncer(shaken) as pooler:
            file = Path(folder) / "config.json"
            file.write_text(configuration(targets_of(steady, shaken, network, pooler)))
            async with exporter(file, Path(folder) / "log", flags) as subject:
                yield World(steady, shaken, network, pooler, subject, file)


@asynccontextmanager
async def exporter(config: Path, log: Path, flags: Sequence[str]) -> AsyncIterator[Subject]:
    """Run the exporter; SIGTERM ends it."""
    command = (sys.executable, "-m", "tests.soak.daemon", *flags)
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, "run", "--config.file", config, stdout=PIPE, stderr=stderr, cwd=ROOT
        )
    subject = Subject(process, log)
    try:
        await subject.started()
        yield subject
        subject.signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            status = await process.wait()
        assert status == os.EX_OK, f"ended with status {status}:\n{subject.log_text()}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
