"""The daemon: targets, their schedule, and the HTTP server."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from exporter import __version__, process
from exporter.collectors import METRICS
from exporter.config import Config, Target
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Exposition, Kind, Metric, Sample
from exporter.poller import PROBE_READ, Poller
from exporter.reads import ACTIVITY_READ
from exporter.web.application import make_application
from exporter.web.server import Server

RELOAD_SUCCESSFUL = Metric(
    "pgconn_config_last_reload_successful",
    Kind.GAUGE,
    "1 when the configuration file was loaded the last time that this was tried.",
)
RELOAD_TIMESTAMP = Metric(
    "pgconn_config_last_reload_success_timestamp_seconds",
    Kind.GAUGE,
    "When the configuration in force was loaded, in seconds since the epoch.",
)
OWN_METRICS = (RELOAD_SUCCESSFUL, RELOAD_TIMESTAMP)

EXPORTER = "exporter"
"""The collector of what is about the exporter and no target."""

log = structlog.get_logger()


class Daemon:
    """Watch the targets of a configuration, and serve what was seen."""

    def __init__(self, config: Config, metrics_path: str = "/metrics") -> None:
        """Take a configuration, and the path under which the metrics are served."""
        self._config = config
        self._exposition = Exposition((*OWN_METRICS, *process.metrics(), *METRICS))
        self._exposition.add_live(process.samples)
        self._pollers: dict[str, Poller] = {}
        self._poolers = {t.name: Pooler() for t in config.targets if t.kind == "pgbouncer"}
        self._scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        web = config.web
        self._server = Server(
            make_application(self._exposition, self.is_ready, metrics_path), web.host, web.port
        )

    @property
    def url(self) -> str:
        """Give the address of the HTTP server for a client on this machine."""
        return self._server.url

    def is_ready(self) -> bool:
        """Tell whether every target was polled once."""
        return all(poller.polled.is_set() for poller in self._pollers.values())

    async def start(self) -> None:
        """Listen, and begin to poll; raise ListenError where we cannot listen."""
        await self._server.start()
        self._exposition.publish(None, EXPORTER, self._reload_samples())
        self._scheduler.start()
        for number, target in enumerate(self._config.targets):
            self._watch(target, number / len(self._config.targets))
        log.info("started", version=__version__, url=self.url, targets=len(self._pollers))

    def _reload_samples(self) -> Iterator[Sample]:
        yield Sample(RELOAD_SUCCESSFUL, (), 1)
        yield Sample(RELOAD_TIMESTAMP, (), time.time())

    def _watch(self, target: Target, share: float) -> None:
        """Poll a target, its first reads at once but apart from the other targets'."""
        poller = Poller(
            target,
            self._exposition,
            self._linked(target),
            on_connect=lambda: self._make_due(target.name),
            on_pace=lambda: self._reschedule(target.name),
        )
        self._pollers[target.name] = poller
        for read, seconds in poller.intervals.items():
            self._scheduler.add_job(
                poller.poll,
                "interval",
                args=[read],
                id=job_id(target.name, read),
                seconds=seconds,
                next_run_time=datetime.now(UTC)
                + timedelta(seconds=share * poller.intervals[ACTIVITY_READ]),
            )

    def _linked(self, target: Target) -> dict[str, Pooler]:
        """Give what a PgBouncer says of itself, or what those in front of a PostgreSQL do."""
        return {
            other.name: self._poolers[other.name]
            for other in self._config.targets
            if other.kind == "pgbouncer" and target.name in {other.name, other.server}
        }

    def _make_due(self, target: str) -> None:
        """Have the reads of a target that waited for its connection run now."""
        for read in self._pollers[target].intervals:
            if read not in {ACTIVITY_READ, PROBE_READ}:
                self._scheduler.modify_job(job_id(target, read), next_run_time=datetime.now(UTC))

    def _reschedule(self, target: str) -> None:
        """Take over the intervals that are in force.

        A read that is due sooner stays so: intervals that change often would put it off for ever.
        """
        now = datetime.now(UTC)
        for read, seconds in self._pollers[target].intervals.items():
            job = self._scheduler.get_job(job_id(target, read))
            due = min(job.next_run_time, now + timedelta(seconds=seconds))
            job.modify(trigger=IntervalTrigger(seconds=seconds, timezone=UTC), next_run_time=due)

    async def stop(self) -> None:
        """End the polls, then close connections and the HTTP server."""
        # In this order: the scheduler would cancel polls that run, and log each as an error.
        self._scheduler.remove_all_jobs()
        await asyncio.gather(*(poller.stop() for poller in self._pollers.values()))
        self._scheduler.shutdown(wait=False)
        await self._server.stop()
        log.info("stopped")


def job_id(target: str, read: str) -> str:
    """Name a job; a read's name has no slash, so that two targets cannot clash."""
    return f"{read}/{target}"
