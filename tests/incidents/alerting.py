"""Alertmanager as a user runs it: with the fragment, and with ways to reach people."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from exporter.alerts.alertmanager import NOBODY, PAGER, TICKETS
from tests.incidents.programs import answering, program
from tests.integration.processes import TOOLS

WEBHOOKS: Final = {PAGER: "/pager", TICKETS: "/tickets"}


def completed(document: Mapping[str, Any], inboxes: str) -> dict[str, Any]:
    """Give the receivers of the fragment their ways; `inboxes` is the URL of the webhooks."""
    return dict(document) | {
        "receivers": [
            {"name": name, "webhook_configs": [{"url": inboxes + path, "send_resolved": True}]}
            for name, path in WEBHOOKS.items()
        ]
        + [{"name": NOBODY}]
    }


@asynccontextmanager
async def alertmanager(folder: Path, url: str) -> AsyncIterator[None]:
    """Run Alertmanager at a URL, with the alertmanager.yml of a folder, which keeps its log."""
    log = folder / "alertmanager.log"
    command = (
        TOOLS / "alertmanager",
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    )
    async with program(log, *command):
        await answering(f"{url}/-/ready", log)
        yield
