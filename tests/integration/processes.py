"""Run the command line as a user does: as a process of its own."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.staging import PATIENCE

TOOLS = Path(__file__).parents[2] / ".cache" / "prometheus" / "bin"
COMMAND = (sys.executable, "-m", "exporter")


@dataclass(slots=True)
class Ended:
    """What became of a command."""

    status: int
    out: str
    err: str


async def run(*arguments: str, environ: Mapping[str, str] | None = None) -> Ended:
    """Run a command to its end, which must be near."""
    process = await start(*arguments, environ=environ)
    async with asyncio.timeout(PATIENCE * 2):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def start(
    *arguments: str, environ: Mapping[str, str] | None = None, wrapper: Sequence[str] = ()
) -> Process:
    """Start a command, which a wrapper may start in its turn."""
    command, environment = (*wrapper, *COMMAND, *arguments), {**os.environ, **(environ or {})}
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environment)


async def promtool(*arguments: str, given: str = "") -> tuple[int | None, str]:
    """Run promtool; the Makefile brings it."""
    tool = TOOLS / "promtool"
    assert tool.exists(), "promtool is missing: run `make test`, which fetches it"
    process = await asyncio.create_subprocess_exec(
        tool,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(given.encode())
    return process.returncode, out.decode()


@dataclass(slots=True)
class Running:
    """A daemon that runs, and what it has logged."""

    process: Process
    url: str = ""
    log: list[str] = field(default_factory=list)

    async def logged(self, text: str) -> str:
        """Wait until a line of the log has a text, and give the line."""
        stream = self.process.stderr
        assert stream is not None
        async with asyncio.timeout(PATIENCE):
            while line := (await stream.readline()).decode():
                self.log.append(line)
                if text in line:
                    return line
        raise AssertionError(f"ended without {text!r}: {''.join(self.log)}")

    async def rest(self) -> str:
        """Give the rest of the log, once the process has ended."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def daemon(
    *arguments: str, environ: Mapping[str, str] | None = None, wrapper: Sequence[str] = ()
) -> AsyncIterator[Running]:
    """Run the daemon until the test is over."""
    running = Running(await start("run", *arguments, environ=environ, wrapper=wrapper))
    try:
        line = await running.logged("event=started")
        found = re.search(r"url=(\S+)", line)
        assert found is not None
        running.url = found[1]
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
            await running.process.wait()
