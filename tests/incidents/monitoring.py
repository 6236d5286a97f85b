"""What an engineer on call has in a replay: what fires, what was sent, what the dashboards show."""

import asyncio
import json
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from exporter.alerts.model import Dashboard
from tests.dashboards.panels import Shown
from tests.incidents.dashboards import Source
from tests.incidents.pictures import Moment, draw
from tests.incidents.receiving import Inbox, Labels, Notification, Receivers
from tests.incidents.shown import SHOWN, SINCE_14, preferring, seen
from tests.integration.staging import eventually

INTERVAL_SECONDS: Final = 0.5  # of scrapes and evaluations: 15 s, thirty times as fast

WORTH_OF_FORS: Final = 11
"""Seconds that a healthy run lasts: more than the five minutes that most alerts have to hold."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One series of an answer of Prometheus."""

    labels: Labels
    value: float


@dataclass(slots=True)
class Monitoring:
    """What an engineer on call has."""

    session: aiohttp.ClientSession
    prometheus: str
    exporter: str
    inboxes: Receivers
    daemon: Process
    config: Path
    dashboards: Mapping[Dashboard, Shown]
    since: float = field(default_factory=time.time)
    moments: list[Moment] = field(default_factory=list)

    @property
    def source(self) -> Source:
        """Return Prometheus as the dashboards' data source."""
        return Source(self.session, self.prometheus, INTERVAL_SECONDS)

    @property
    def pager(self) -> Inbox:
        """Return what woke somebody."""
        return self.inboxes.pager

    @property
    def tickets(self) -> Inbox:
        """Return what can wait for the morning."""
        return self.inboxes.tickets

    def configure(self, clients: Sequence[Mapping[str, object]]) -> None:
        """Give the exporter other clients, and have it load its configuration anew."""
        document = yaml.safe_load(self.config.read_text()) | {"clients": clients}
        self.config.write_text(yaml.safe_dump(document))
        self.daemon.send_signal(signal.SIGHUP)

    async def _ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        url = f"{self.prometheus}/api/v1/{path}"
        async with self.session.get(url, params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, promql: str) -> list[Answer]:
        """Ask Prometheus for what is true now."""
        found = (await self._ask("query", query=promql))["result"]
        return [Answer(each["metric"], float(each["value"][1])) for each in found]

    async def until(
        self, promql: str, condition: Callable[[list[Answer]], Any], patience: float = 20
    ) -> list[Answer]:
        """Ask Prometheus until a condition holds, and give that answer."""

        async def look() -> list[Answer] | None:
            answer = await self.query(promql)
            return answer if condition(answer) else None

        found = await eventually(look, patience)
        assert found is not None
        return found

    async def first(self, promql: str, since: float) -> float | None:
        """Return when an expression first gave anything, in seconds since the epoch."""
        times = {"start": str(since), "end": str(time.time()), "step": "100ms"}
        found = (await self._ask("query_range", query=promql, **times))["result"]
        return min((float(each["values"][0][0]) for each in found), default=None)

    async def shows(self, incident: str, patience: float = 20) -> None:
        """See that the dashboards show an incident that is fully on (shown.py says where)."""
        servers = await self.until("pgconn_server_info", len)
        version = min(int(each.labels["version"].split(".")[0]) for each in servers)
        chosen = []
        for uid, unseen in SHOWN[incident].items():
            asking = self.dashboards[uid].asking()
            untold = SINCE_14.get(uid, ()) if version < 14 else ()
            panels = [asking[title] for title in seen(asking, unseen + untold)]
            chosen.append((self.dashboards[uid], panels))
        await self.source.shows(chosen, patience)
        queries = [
            (shown, panel, target)
            for shown, panels in chosen
            for panel in panels
            for target in panel.targets
            if preferring(incident, version, shown.uid, panel.title, target.ref)
        ]
        await self.source.prefers(queries, patience)

    def draws(self, incident: str, *dashboards: Dashboard) -> None:
        """Have dashboards drawn as they are now, where PGCONN_PICTURES names a folder for it."""
        self.moments.append(Moment(incident, dashboards, self.since, time.time()))

    async def develop(self, folder: Path) -> None:
        """Draw what was to be drawn."""
        for moment in self.moments:
            await draw(self.source, self.dashboards.values(), moment, folder)

    async def quiet(self, seconds: float) -> None:
        """See that for so long nobody is called, no ticket is opened, and every rule works."""
        before = len(self.pager.firing), self._told()
        await asyncio.sleep(seconds)
        after = len(self.pager.firing), self._told()
        assert after == before, await self.report()
        assert await self.unhealthy_rules() == {}

    def _told(self) -> set[frozenset[tuple[str, str]]]:
        """Return every alert that somebody was told of, by its labels.

        A page is written into a ticket a moment later, and a ticket tells again of what is left
        when one of its alerts is over: neither is news.
        """
        sent = self.pager.firing + self.tickets.firing
        return {frozenset(labels.items()) for each in sent for labels in each.alerts}

    async def alerts(self) -> list[Mapping[str, Any]]:
        """Return the alerts of Prometheus that are pending or fire, silenced or not."""
        return list((await self._ask("alerts"))["alerts"])

    async def unhealthy_rules(self) -> dict[str, str]:
        """Return the rules that could not be evaluated, each with its error."""
        groups = (await self._ask("rules"))["groups"]
        return {
            rule["name"]: rule["lastError"]
            for group in groups
            for rule in group["rules"]
            if rule["health"] == "err"
        }

    async def paged(self, patience: float = 30) -> Notification:
        """Wait until the pager has gone off, and give the first page."""
        return await self._first(self.pager, patience)

    async def ticketed(self, alert: str, patience: float = 30) -> Notification:
        """Wait until there is a ticket about an alert, and give it."""
        return await self._first(self.tickets, patience, alert)

    async def _first(self, inbox: Inbox, patience: float, alert: str = "") -> Notification:
        async def look() -> Notification | None:
            return next((each for each in inbox.firing if not alert or alert in each.names), None)

        try:
            found = await eventually(look, patience)
        except AssertionError:
            raise AssertionError(f"no page within {patience} s:\n{await self.report()}") from None
        assert found is not None
        return found

    async def called_off(self, patience: float = 40) -> None:
        """Wait until the pager was told that everything is over; tickets may stay open."""

        async def look() -> bool:
            return not self.pager.open

        await eventually(look, patience)

    async def all_resolved(self, patience: float = 40) -> None:
        """Wait until pager and tickets were told that everything is over."""

        async def look() -> bool:
            return not (self.pager.open | self.tickets.open)

        try:
            await eventually(look, patience)
        except AssertionError:
            raise AssertionError(f"still open:\n{await self.report()}") from None

    async def report(self) -> str:
        """Tell what fires and what was sent, for a replay that went wrong."""
        alerts = [
            f"{each['state']} {json.dumps(each['labels'])} {each['value']}"
            for each in await self.alerts()
        ]
        sent = [
            f"{inbox} {each.at:.1f} {each.body['status']} {sorted(each.names)}"
            for inbox, box in (("pager", self.pager), ("tickets", self.tickets))
            for each in box.notifications
        ]
        return "\n".join([f"now {time.time():.1f}", *alerts, *sent])
