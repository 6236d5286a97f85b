"""Real client processes that can be killed: `python -m tests.integration.victims HOW DSN QUERY`."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final, Literal

import psycopg

from tests.integration.staging import PATIENCE

ROOT: Final = Path(__file__).parents[2]

How = Literal["waits", "holds", "reads nothing", "has a child"]
"""Waits for the query's result; holds the session idle after it; does not take the result from
the kernel; waits, and a child process has inherited the socket."""

Started = subprocess.Popen[bytes]
Start = Callable[[Callable[[], Started]], Started]


class Victim:
    """A client process and the pid of its backend."""

    def __init__(self, process: Started, pid: int) -> None:
        self.process = process
        self.pid = pid

    def kill(self) -> None:
        """Kill it as an out-of-memory killer does, or gunicorn's arbiter; wait until it is dead."""
        self.process.kill()
        self.process.wait()

    def release_child(self) -> None:
        """Let the child end that has inherited the socket."""
        assert self.process.stdin is not None
        self.process.stdin.close()


@contextlib.asynccontextmanager
async def victim(
    dsn: str, query: str, how: How = "waits", start: Start = lambda popen: popen()
) -> AsyncIterator[Victim]:
    """Run a client process on a query; `start` may start it elsewhere, as in another network.

    It is handed out when its session is there and its query on the way.
    """
    command = [sys.executable, "-m", __name__, how, dsn, query]
    pipe = subprocess.PIPE
    process = start(lambda: subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe))
    with process:  # closes the pipes, and with them ends a child
        try:
            async with asyncio.timeout(PATIENCE):
                assert process.stdout is not None
                line = await asyncio.to_thread(process.stdout.readline)
            assert line, "the client process has ended"
            yield Victim(process, int(line))
        finally:
            process.kill()


def main() -> None:
    """Be such a process."""
    how, dsn, query = sys.argv[1:]
    connection = psycopg.connect(dsn, autocommit=True)
    if how == "has a child" and os.fork() == 0:
        sys.stdout.close()
        sys.stdin.read()  # until our parent's parent is done
        os._exit(0)
    connection.pgconn.send_query(query.encode())
    if how == "holds":
        finish(connection)
    print(connection.info.backend_pid, flush=True)  # noqa: T201 - our parent reads it
    if how in {"holds", "reads nothing"}:
        sys.stdin.read()
    finish(connection)
    connection.close()


def finish(connection: psycopg.Connection[Any]) -> None:
    """Take every result of what was sent; end with the first error."""
    while result := connection.pgconn.get_result():
        if result.error_message:
            connection.close()
            sys.exit(result.error_message.decode())


if __name__ == "__main__":
    main()
