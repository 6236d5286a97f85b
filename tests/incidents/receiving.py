"""The pager and the ticket system: what Alertmanager's webhooks have told them."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Notification:
    """What Alertmanager sent about one group of alerts, and when (seconds since the epoch)."""

    at: float
    body: Mapping[str, Any]

    @property
    def group(self) -> str:
        """Return the key of the group: of the incident, for a pager."""
        return str(self.body["groupKey"])

    @property
    def firing(self) -> bool:
        """Tell whether any alert of the group fires."""
        return bool(self.body["status"] == "firing")

    @property
    def alerts(self) -> list[Labels]:
        """Return the labels of the alerts that fire."""
        return [each["labels"] for each in self.body["alerts"] if each["status"] == "firing"]

    @property
    def names(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {labels["alertname"] for labels in self.alerts}

    def values(self, label: str) -> set[str]:
        """Return all values of a label, among the alerts that fire."""
        return {labels[label] for labels in self.alerts if label in labels}

    def annotation(self, alert: str, name: str) -> str:
        """Return an annotation of an alert."""
        (text,) = {
            each["annotations"][name]
            for each in self.body["alerts"]
            if each["labels"]["alertname"] == alert
        }
        return str(text)


@dataclass(slots=True)
class Inbox:
    """Everything that one receiver was sent, in order."""

    notifications: list[Notification] = field(default_factory=list)

    @property
    def firing(self) -> list[Notification]:
        """Return what told of alerts that fire."""
        return [each for each in self.notifications if each.firing]

    @property
    def open(self) -> set[str]:
        """Return the groups that fire and were not said to be resolved."""
        return {group for group, firing in self._last().items() if firing}

    def _last(self) -> dict[str, bool]:
        return {each.group: each.firing for each in self.notifications}


@dataclass(slots=True)
class Receivers:
    """The pager and the ticket system."""

    url: str = ""
    pager: Inbox = field(default_factory=Inbox)
    tickets: Inbox = field(default_factory=Inbox)


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    """Listen for webhooks at /pager and /tickets."""
    inboxes = Receivers()

    def into(inbox: Inbox) -> Any:  # noqa: ANN401 - a handler of aiohttp
        async def take(request: web.Request) -> web.Response:
            inbox.notifications.append(Notification(time.time(), await request.json()))
            return web.Response()

        return take

    application = web.Application()
    application.router.add_post("/pager", into(inboxes.pager))
    application.router.add_post("/tickets", into(inboxes.tickets))
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    inboxes.url = f"http://{host}:{port}"
    try:
        yield inboxes
    finally:
        await runner.cleanup()
