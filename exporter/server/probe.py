"""The probe: whether a new connection is accepted now, and how long that takes."""

import time

from exporter.server.access import Access, open_link
from exporter.server.errors import PollError
from exporter.snapshot import ProbeResult


async def probe(access: Access, deadline: float) -> ProbeResult:
    """Open one connection, log in, and close it."""
    at, start = time.time(), time.perf_counter()
    try:
        link = await open_link(access, deadline)
    except PollError as error:
        return ProbeResult(
            success=False, at=at, seconds=time.perf_counter() - start, sqlstate=error.sqlstate
        )
    seconds = time.perf_counter() - start
    await link.close()
    return ProbeResult(success=True, at=at, seconds=seconds)
