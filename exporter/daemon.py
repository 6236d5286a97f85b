"""The daemon: targets, their schedule, the HTTP server, and the reload of the configuration."""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from exporter import __version__, process
from exporter.collectors import METRICS
from exporter.config import Config, ConfigError, Target, Web
from exporter.connector import Connector, same_way
from exporter.diagnosis.poolers import Pooler
from exporter.exposition import Exposition, Kind, Metric, Sample
from exporter.poller import Poller
from exporter.schedule import Schedule
from exporter.web.application import make_application
from exporter.web.server import ListenError, Server

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
    """Watch the targets of a configuration, and serve what was seen.

    `load` gives the configuration as it is now, or raises a ConfigError; without it there is no
    reload. `lifecycle` lets a reload be asked for over HTTP.
    """

    def __init__(
        self,
        config: Config,
        metrics_path: str = "/metrics",
        load: Callable[[], Config] | None = None,
        *,
        lifecycle: bool = False,
    ) -> None:
        self._config = config
        self._metrics_path, self._load, self._lifecycle = metrics_path, load, lifecycle
        self._exposition = Exposition((*OWN_METRICS, *process.metrics(), *METRICS))
        self._exposition.add_live(process.samples)
        self._schedule = Schedule()
        self._pollers: dict[str, Poller] = {}
        self._poolers: dict[str, Pooler] = {}
        self._links: dict[str, dict[str, Pooler]] = {}
        self._server = self._make_server(config.web)
        self._closing: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()
        self._loaded = 0.0
        self._ending: set[Poller] = set()
        self._stopping = False

    def _make_server(self, web: Web) -> Server:
        application = make_application(
            self._exposition,
            self.is_ready,
            self._metrics_path,
            self.reload if self._lifecycle else None,
        )
        return Server(application, web.host, web.port)

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
        self._tell_reload(successful=True)
        self._schedule.start()
        self._link(self._config.targets)
        self._watch(self._config.targets, {})
        log.info("started", version=__version__, url=self.url, targets=len(self._pollers))

    def _watch(self, targets: Iterable[Target], connectors: dict[str, Connector]) -> None:
        """Poll targets, the first reads of each at once but apart from the others'.

        `connectors` are those of the same targets before a reload.
        """
        targets = tuple(targets)
        for number, target in enumerate(targets):
            poller = Poller(
                target,
                self._exposition,
                self._links[target.name],
                self._schedule,
                connectors.get(target.name),
            )
            self._pollers[target.name] = poller
            delay = number / len(targets) * target.intervals.activity
            self._schedule.add(target.name, poller.poll, poller.intervals, delay)

    def _link(self, targets: Iterable[Target]) -> None:
        """Link what a PgBouncer says with itself and with the PostgreSQL behind it.

        In place: a target that stays learns of a PgBouncer that came, and forgets one that went.
        """
        for target in targets:
            self._links.setdefault(target.name, {}).clear()
        for target in targets:
            if target.kind == "pgbouncer":
                pooler = self._poolers.setdefault(target.name, Pooler())
                self._links[target.name][target.name] = pooler
                if target.server is not None:
                    self._links[target.server][target.name] = pooler

    async def reload(self) -> str | None:
        """Load the configuration anew and go over to it; give what is wrong where that fails.

        Then everything stays as it was. Targets that did not change notice nothing.
        """
        async with self._reloading:
            try:
                await self._reload()
            except (ConfigError, ListenError) as error:
                problem = str(error)
                log.warning("reload failed", error=problem)
            except Exception:
                problem = "a fault of the exporter: see its log"
                log.exception("unforeseen fault in a reload")
            else:
                self._tell_reload(successful=True)
                return None
            self._tell_reload(successful=False)
            return problem

    async def _reload(self) -> None:
        assert self._load is not None  # noqa: S101 - nobody asks for it otherwise
        # In a thread: a long file takes a second, and polls shall not wait for it.
        config = await asyncio.to_thread(self._load)
        await self._move(config.web)
        await self._go_over(config)

    async def _move(self, web: Web) -> None:
        """Listen on another address, if the configuration says so; raise ListenError."""
        if web == self._config.web:
            return
        server = self._make_server(web)
        await server.start()
        log.info("listening", url=server.url)
        # In the background: it waits for its last answers, of which one may tell of this reload.
        self._closing = asyncio.ensure_future(self._server.stop())
        self._server = server

    async def _go_over(self, config: Config) -> None:
        """End the targets that are gone or changed, and watch those that are new or changed."""
        before = {target.name: target for target in self._config.targets}
        after = {target.name: target for target in config.targets}
        ended = [target for name, target in before.items() if after.get(name) != target]
        begun = [target for name, target in after.items() if before.get(name) != target]
        self._config = config
        # Together: one that hangs takes its deadline to end.
        kept = await asyncio.gather(*(self._end(old, after.get(old.name)) for old in ended))
        if self._stopping:
            return
        self._link(config.targets)
        self._watch(begun, {c.name: c for c in kept if c is not None})
        log.info(
            "reloaded",
            targets=len(after),
            added=len(after.keys() - before.keys()),
            changed=len(before.keys() & {target.name for target in begun}),
            removed=len(before.keys() - after.keys()),
        )

    async def _end(self, old: Target, new: Target | None) -> Connector | None:
        """End a target; give its connector where the target that follows can go on with it."""
        self._schedule.remove(old.name)
        poller = self._pollers.pop(old.name)
        self._ending.add(poller)
        connector = None
        if new is not None and same_way(old, new):
            connector = await poller.retire()
        else:
            await poller.stop()
        self._ending.discard(poller)
        self._exposition.forget(old.name)
        self._poolers.pop(old.name, None)
        if new is None:
            del self._links[old.name]
        return connector

    def _tell_reload(self, *, successful: bool) -> None:
        if successful:
            self._loaded = time.time()
        samples = [
            Sample(RELOAD_SUCCESSFUL, (), int(successful)),
            Sample(RELOAD_TIMESTAMP, (), self._loaded),
        ]
        self._exposition.publish(None, EXPORTER, samples)

    async def stop(self) -> None:
        """End the polls, then close connections and the HTTP server."""
        self._stopping = True
        # In this order: the scheduler would cancel polls that run, and log each as an error.
        self._schedule.clear()
        pollers = (*self._pollers.values(), *self._ending)
        await asyncio.gather(*(poller.stop() for poller in pollers))
        self._schedule.stop()
        await self._server.stop()
        if self._closing is not None:
            await self._closing
        log.info("stopped")
