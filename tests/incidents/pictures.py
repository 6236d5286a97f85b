"""Pictures of an incident: the dashboards as a person would have seen them at its height.

They are drawn when it is over, as of then: a browser takes processor time that is not its own.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from exporter.alerts.model import Dashboard
from tests.dashboards.panels import Shown
from tests.incidents.dashboards import Source
from tests.incidents.programs import ROOT

BEFORE: Final = "15s"  # of the incident, compared with which all was well


@dataclass(frozen=True, slots=True)
class Moment:
    """What is to be drawn of an incident: dashboards, and the time that they show."""

    incident: str
    dashboards: tuple[Dashboard, ...]
    since: float
    until: float


async def draw(source: Source, shown: Iterable[Shown], moment: Moment, into: Path) -> None:
    """Draw the dashboards of a moment, as `one-lock-blocking.png`; `shown` are all there are."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for each in shown:
            (folder / f"{each.uid}.json").write_text(json.dumps(each.json))
        await _run(source, folder, moment)
        into.mkdir(parents=True, exist_ok=True)
        for uid in moment.dashboards:
            picture = f"{moment.incident}-{uid.removeprefix('pgconn-')}.png"
            (into / picture).write_bytes((folder / f"{uid}.png").read_bytes())


async def _run(source: Source, folder: Path, moment: Moment) -> None:
    command = ["--prometheus", source.url, "--dashboards", str(folder), "--out", str(folder)]
    command += ["--from", _iso(moment.since), "--to", _iso(moment.until)]
    command += ["--scrape-interval", f"{source.scrapes * 1000:.0f}ms", "--var", f"compare={BEFORE}"]
    for uid in moment.dashboards:
        command += ["--only", uid]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.pictures", *command), cwd=ROOT, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
