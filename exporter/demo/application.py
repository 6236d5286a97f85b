"""The demo's application, which does to a PostgreSQL what real ones did: see docs on incidents.

`python -m exporter.demo.application PORT` runs it until SIGTERM, or until its
standard input ends, which is when its parent is gone. Its parts are processes of their own, so
that the kernel can really kill them; they come from different addresses by way of forwarders.
"""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.demo.forwarder import Forwarder
from exporter.demo.ports import bindable
from exporter.demo.schema import local_dsn, prepare
from exporter.demo.workers import end_with_parent

API_WORKERS = 4
RESPAWN_AFTER = 0.5  # seconds
PATIENCE = 2.0  # seconds that a process has to end
READY = "ready"


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the application, and how the server sees it."""

    role: str
    user: str
    application_name: str
    client_addr: str
    number: int = 0


def crew() -> list[Member]:
    """Return everybody: the api runs on two hosts, the others on one each."""
    return [
        *(
            Member("api", "app", f"gunicorn: worker {number}", f"127.0.0.1{number % 2 + 1}", number)
            for number in range(1, API_WORKERS + 1)
        ),
        Member("reports", "reports", "metabase", "127.0.0.21"),
        Member("celery", "celery", "celery-nightly", "127.0.0.31"),
        Member("migration", "deploy", "alembic upgrade", "127.0.0.41"),
    ]


@contextlib.contextmanager
def forwarded(addresses: Iterable[str], port: int) -> Iterator[dict[str, int]]:
    """Give the port by which to come from each address; not every system has them all."""
    with contextlib.ExitStack() as stack:
        forwarders = {
            address: stack.enter_context(Forwarder(address, port))
            for address in addresses
            if bindable(address)
        }
        yield {address: forwarder.port for address, forwarder in forwarders.items()}


def command(member: Member, port: int) -> list[str]:
    """Return the command that runs a member, connecting to a port of this machine."""
    dsn = local_dsn(port, member.user, application_name=member.application_name)
    words = [sys.executable, "-m", "exporter.demo.workers", member.role, dsn]
    return [*words, str(member.number)]


async def keep_alive(words: list[str]) -> None:
    """Run a process, and again whenever it is killed, as a supervisor would."""
    while True:
        process = await asyncio.create_subprocess_exec(*words, stdin=PIPE)
        try:
            await process.wait()
        finally:
            await end(process)
        await asyncio.sleep(RESPAWN_AFTER)


async def end(process: Process) -> None:
    """End a process by closing its standard input, which also happens when we are killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


async def supervise(port: int) -> None:
    """Keep everybody alive until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    members = crew()
    with forwarded({member.client_addr for member in members}, port) as ports:
        commands = [command(member, ports.get(member.client_addr, port)) for member in members]
        tasks = [asyncio.create_task(keep_alive(words)) for words in commands]
        await ended.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Prepare the server, say so, and run."""
    end_with_parent()
    port = int(sys.argv[1])
    prepare(port)
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    asyncio.run(supervise(port))


if __name__ == "__main__":
    main()
