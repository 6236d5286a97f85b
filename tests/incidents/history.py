"""What Prometheus remembers of the week before a replay, in which a day is 48 minutes."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tests.incidents.faster import FACTOR
from tests.integration.processes import promtool

HOUR: Final = 3600 / FACTOR
DAY: Final = 24 * HOUR
WEEK, NEWEST = 7 * DAY, DAY / 2  # what is newer is the replay's own
SCRAPES: Final = 5.0  # seconds between two values
USUAL: Final = 0.1  # sessions that are active, on the average
BUSIER: Final = 0.5  # as many were yesterday at this time


async def remember(folder: Path, labels: Mapping[str, str]) -> None:
    """Write a week's load of a client as blocks of Prometheus, before it starts."""
    file = folder.with_suffix(".openmetrics")
    await asyncio.to_thread(file.write_text, "\n".join(_openmetrics(labels, time.time())))
    blocks = "tsdb", "create-blocks-from", "openmetrics", str(file), str(folder)
    status, said = await promtool(*blocks)
    assert status == 0, said


def _openmetrics(labels: Mapping[str, str], now: float) -> Iterator[str]:
    series = ",".join(f'{name}="{value}"' for name, value in labels.items())
    yield "# TYPE pgconn_session_seconds counter"
    seconds = 0.0
    for step in range(int((WEEK - NEWEST) / SCRAPES)):
        ago = WEEK - step * SCRAPES
        seconds += SCRAPES * (BUSIER if abs(ago - DAY) < HOUR else USUAL)
        yield f"pgconn_session_seconds_total{{{series}}} {seconds:.1f} {now - ago:.3f}"
    yield "# EOF\n"
