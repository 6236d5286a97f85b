"""What watches a replay, set up: the exporter, Prometheus, Alertmanager, pager and ticket system.

All real, with the rules, routes and inhibition as they are shipped, but faster.
"""

import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
import yaml

from exporter.alerts import GROUPS
from exporter.alerts.alertmanager import fragment
from exporter.alerts.rendering import Options, rule_file
from exporter.demo.ports import free_port
from tests.incidents.alerting import alertmanager, completed
from tests.incidents.dashboards import faster_dashboards
from tests.incidents.faster import faster, faster_route, faster_thresholds
from tests.incidents.history import remember
from tests.incidents.monitoring import INTERVAL_SECONDS, Monitoring
from tests.incidents.programs import answering, program
from tests.incidents.receiving import Receivers, receivers
from tests.integration.processes import TOOLS

JOB: Final = "pgconn"
INTERVAL: Final = f"{INTERVAL_SECONDS * 1000:.0f}ms"

# The intervals of the example configuration, as much faster, but not below what is allowed; so is
# the share of a core that polls may take.
FASTER_READS: Final = {
    "intervals": {
        "activity": "100ms",
        "probe": "500ms",
        "databases": "500ms",
        "statements": "1s",
        "settings": "2s",
        "replication": "1s",
    },
    "max_overhead": "30%",
    "peak_window": "2s",
    "query_timeout": "2s",
}


@dataclass(frozen=True, slots=True)
class Beyond:
    """What Prometheus has besides one scrape of all, since the replay began."""

    discovers: bool = False
    """A second job, which finds each target by `/sd`."""
    remembers: Mapping[str, str] = field(default_factory=dict)
    """Labels of a load that it has a week of."""


@asynccontextmanager
async def monitored(
    folder: Path,
    targets: Sequence[Mapping[str, object]],
    clients: Sequence[Mapping[str, object]],
    thresholds: Mapping[str, float] | None = None,
    beyond: Beyond | None = None,
    **defaults: object,
) -> AsyncIterator[Monitoring]:
    """Watch targets with all that belongs to it; `folder` keeps the logs.

    `targets` and `clients` are as in the configuration, `defaults` stand under its key of that
    name, `thresholds` are those that a user would have tuned.
    """
    beyond = beyond or Beyond()
    ports = {name: free_port() for name in ("exporter", "prometheus", "alertmanager")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    config = {
        "web": {"listen_address": f"127.0.0.1:{ports['exporter']}"},
        "defaults": FASTER_READS | defaults,
        "clients": clients,
        "targets": targets,
    }
    _write(folder / "config.yaml", config)
    _write(folder / "prometheus.yml", _prometheus(ports, folder, discovers=beyond.discovers))
    if beyond.remembers:
        exporter = {"job": JOB, "instance": f"127.0.0.1:{ports['exporter']}"}
        await remember(folder / "data", {**exporter, **beyond.remembers})
    options = Options(thresholds=faster_thresholds(**(thresholds or {})))
    _write(folder / "rules.yaml", rule_file(map(faster, GROUPS), options))
    async with (
        receivers() as inboxes,
        aiohttp.ClientSession() as session,
        _exporter(folder, urls["exporter"]) as daemon,
    ):
        _write(folder / "alertmanager.yml", _alertmanager(inboxes))
        async with (
            alertmanager(folder, urls["alertmanager"]),
            _prometheus_runs(folder, urls["prometheus"]),
        ):
            watch = Monitoring(
                session,
                urls["prometheus"],
                urls["exporter"],
                inboxes,
                daemon,
                folder / "config.yaml",
                faster_dashboards(options),
            )
            yield watch
            if pictures := os.environ.get("PGCONN_PICTURES"):
                await watch.develop(Path(pictures))


def _write(file: Path, document: object) -> None:
    file.write_text(yaml.safe_dump(document))


def _prometheus(ports: Mapping[str, int], folder: Path, *, discovers: bool) -> dict[str, object]:
    exporter = f"127.0.0.1:{ports['exporter']}"
    jobs: list[dict[str, object]] = [{"job_name": JOB} | _static(exporter)]
    if discovers:
        discovery = {"url": f"http://{exporter}/sd", "refresh_interval": "1s"}
        jobs.append({"job_name": f"{JOB}-sd", "http_sd_configs": [discovery]})
    return {
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
        | {"scrape_timeout": INTERVAL},
        "rule_files": [str(folder / "rules.yaml")],
        "alerting": {"alertmanagers": [_static(f"127.0.0.1:{ports['alertmanager']}")]},
        "scrape_configs": jobs,
    }


def _static(address: str) -> dict[str, object]:
    return {"static_configs": [{"targets": [address]}]}


def _alertmanager(inboxes: Receivers) -> dict[str, object]:
    document = completed(fragment(Options()), inboxes.url)
    return document | {"route": faster_route(document["route"])}


@asynccontextmanager
async def _exporter(folder: Path, url: str) -> AsyncIterator[Process]:
    log = folder / "exporter.log"
    command = (sys.executable, "-m", "exporter", "run", "--config.file", folder / "config.yaml")
    async with program(log, *command) as process:
        await answering(f"{url}/-/healthy", log)
        yield process


@asynccontextmanager
async def _prometheus_runs(folder: Path, url: str) -> AsyncIterator[None]:
    log = folder / "prometheus.log"
    command = (
        TOOLS / "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
    )
    async with program(log, *command):
        await answering(f"{url}/-/ready", log)
        yield
