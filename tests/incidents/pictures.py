"""Pictures of an incident: the dashboards as a person would have seen them at its height."""

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.dashboards.panels import Shown
from tests.incidents.dashboards import Source
from tests.incidents.programs import ROOT

BEFORE = "15s"  # of the incident, compared with which all was well


async def draw(
    source: Source, dashboards: Iterable[Shown], incident: str, into: Path, seconds: float
) -> None:
    """Draw dashboards with the last seconds of a data source, as `one-lock-blocking.png`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        drawn = [_written(each, folder) for each in dashboards]
        await _run(source, folder, seconds)
        into.mkdir(parents=True, exist_ok=True)
        for uid in drawn:
            picture = f"{incident}-{uid.removeprefix('pgconn-')}.png"
            shutil.copy(folder / f"{uid}.png", into / picture)


def _written(shown: Shown, folder: Path) -> str:
    (folder / f"{shown.uid}.json").write_text(json.dumps(shown.json))
    return shown.uid


async def _run(source: Source, folder: Path, seconds: float) -> None:
    command = ["--prometheus", source.url, "--dashboards", str(folder), "--out", str(folder)]
    command += ["--from", f"now-{seconds:.0f}s", "--var", f"compare={BEFORE}"]
    command += ["--scrape-interval", f"{source.scrapes * 1000:.0f}ms"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.pictures", *command), cwd=ROOT, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
