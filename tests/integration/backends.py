"""The processes of a server: whom they serve, by their titles; and some of them stopped."""

import contextlib
import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from exporter.demo.cluster import Cluster

SESSION: Final = re.compile(r"postgres: .*(?:\d\(\d+\)|\[local\])")


def serving(server: Cluster) -> dict[int, str]:
    """Give the processes that serve somebody, with their titles.

    Unlike pg_stat_activity this shows those that still log in, and needs no answer of the server.
    """
    titles = {pid: _title(pid) for pid in server.processes()}
    return {pid: found for pid, found in titles.items() if SESSION.match(found)}


def sessions(server: Cluster) -> dict[int, str]:
    """Give the processes that serve clients other than the superuser, with their titles."""
    return {
        pid: found
        for pid, found in serving(server).items()
        if not found.startswith("postgres: postgres ")
    }


def _title(pid: int) -> str:
    """Give the title of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0 ").decode()
    except OSError:
        return ""


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Stop processes with SIGSTOP: they live and answer nobody."""
    try:
        _send(signal.SIGSTOP, pids)
        yield
    finally:
        _send(signal.SIGCONT, pids)


def _send(what: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those that have not ended since we looked, as that of a probe may have."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)
