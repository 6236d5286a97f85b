"""Run the daemon against real servers, and look at what it exposes."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from exporter.config import parse_config
from exporter.daemon import Daemon
from tests.integration.staging import PATIENCE, TURN, eventually

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Labels = Mapping[str, str]
Series = tuple[str, frozenset[tuple[str, str]]]


class Scrape:
    """The samples of one scrape, the target's name left out of their labels."""

    def __init__(self, text: str, *, openmetrics: bool = False) -> None:
        self.text = text
        parse = openmetrics_families if openmetrics else text_families
        self.samples: dict[Series, float] = {}
        for family in parse(text):
            for name, labels, value, *_ in family.samples:
                series = name, frozenset(labels.items())
                assert series not in self.samples, f"twice: {series}"
                self.samples[series] = value

    def value(self, name: str, **labels: str) -> float | None:
        """Give the value of the one series that has these labels, among others."""
        found = self.all(name, **labels)
        assert len(found) <= 1, f"several: {found}"
        return next(iter(found.values()), None)

    def all(self, name: str, **labels: str) -> dict[frozenset[tuple[str, str]], float]:
        """Give every series of a name that has these labels, among others."""
        wanted = labels.items()
        return {
            found: value
            for (metric, found), value in self.samples.items()
            if metric == name and wanted <= dict(found).items()
        }

    def table(self, name: str, *labels: str, **given: str) -> dict[tuple[str, ...], float]:
        """Give the values of a metric by the values of these labels, in their order."""
        return {
            tuple(dict(found)[label] for label in labels): value
            for found, value in self.all(name, **given).items()
        }

    @property
    def names(self) -> set[str]:
        """Give the names of all samples."""
        return {name for name, _ in self.samples}


class Watch:
    """A running daemon, seen over HTTP."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def get(self, path: str = "/metrics", **headers: str) -> tuple[int, str]:
        """Give status and text of a page."""
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text()

    async def scrape(self, target: str | None = None, *, openmetrics: bool = False) -> Scrape:
        """Scrape every target, or one."""
        path = "/metrics" if target is None else f"/metrics?target={target}"
        headers = {"Accept": OPENMETRICS} if openmetrics else {}
        status, text = await self.get(path, **headers)
        assert status == 200, text
        return Scrape(text, openmetrics=openmetrics)

    async def after_poll(
        self, target: str = "demo", read: str = "activity", patience: float = PATIENCE + 5
    ) -> Scrape:
        """Scrape once a read that began after now has succeeded."""
        labels = {"target": target, "collector": read}
        start = await self.scrape()
        begun = max(start.value(LAST, **labels) or 0.0, time.time())
        # The poll that is under way may have read before now: take the one after it. Reads that
        # are rare are hardly ever under way, and would take long to come again: when they began
        # is told by what they took.
        polls, seconds = (start.value(name, **labels) or 0.0 for name in (POLLS, SECONDS))

        async def look() -> Scrape | None:
            scrape = await self.scrape()
            seen = scrape.value(LAST, **labels) or 0.0
            done = (scrape.value(POLLS, **labels) or 0.0) - polls
            took = (scrape.value(SECONDS, **labels) or 0.0) - seconds
            anew = done >= 2 or (read != "activity" and done == 1 and seen - took > begun)
            return scrape if anew and seen > begun + 0.05 else None

        found = await eventually(look, patience)
        assert found is not None
        return found

    async def until(self, condition: Callable[[Scrape], Any], patience: float = PATIENCE) -> Scrape:
        """Scrape until a condition holds, and give that scrape."""
        deadline = time.monotonic() + patience
        while True:
            scrape = await self.scrape()
            if condition(scrape):
                return scrape
            assert time.monotonic() < deadline, f"not true within {patience} s:\n{scrape.text}"
            await asyncio.sleep(TURN)


LAST = "pgconn_poll_last_success_timestamp_seconds"
POLLS = "pgconn_poll_duration_seconds_count"
SECONDS = "pgconn_poll_duration_seconds_sum"


Target = str | Mapping[str, object]
"""A DSN, or the keys of a target."""


def config_text(
    targets: Mapping[str, Target], host: str = "127.0.0.1", /, **settings: object
) -> str:
    """Write a configuration that has servers polled fast; `settings` stand under `defaults`."""
    defaults: dict[str, object] = {
        "intervals": {"activity": "200ms", "probe": "30s", "databases": "1s"}
        | {"settings": "1s", "statements": "1s"},
        "max_overhead": "100%",
        "query_timeout": "2s",
    }
    clients = settings.pop("clients", [])
    document = {
        "web": {"listen_address": f"{host}:0"},
        "defaults": defaults | settings,
        "clients": clients,
        "targets": [
            {"name": name} | ({"dsn": keys} if isinstance(keys, str) else dict(keys))
            for name, keys in targets.items()
        ],
    }
    return json.dumps(document)


@asynccontextmanager
async def watching(targets: Mapping[str, Target], **settings: object) -> AsyncIterator[Watch]:
    """Watch servers by name, polled fast; `settings` stand under `defaults`."""
    # JSON is YAML: what we write here takes the way of a user's file.
    daemon = Daemon(parse_config(config_text(targets, **settings), "test.yaml", {}))
    async with aiohttp.ClientSession() as session:
        await daemon.start()
        try:
            yield Watch(daemon.url, session)
        finally:
            await daemon.stop()
