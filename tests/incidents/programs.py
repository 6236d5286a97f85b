"""Run the programs of a replay: each logs to a file, and is gone when the replay is over."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from tests.integration.staging import eventually

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def program(
    log: Path, *command: str | Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program and, in the end, it and all that it has started."""
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,  # which says nothing
            stdout=out,
            stderr=out,
            env={**os.environ, **(environ or {})},
            cwd=ROOT,
            start_new_session=True,  # a process group of its own, which can be ended as one
        )
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        async with asyncio.timeout(3):
            await process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def answering(url: str, log: Path) -> None:
    """Wait until a program answers; what it has logged tells why it does not."""

    async def look() -> bool:
        with suppress(aiohttp.ClientError):
            async with aiohttp.request("GET", url) as response:
                return response.status < 500
        return False

    try:
        await eventually(look, 20)
    except AssertionError:
        raise AssertionError(f"no answer from {url}:\n{log.read_text()}") from None
