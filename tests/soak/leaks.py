"""Faults that are put into the daemon on purpose, to see that the soak finds them."""

import asyncio
import math
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import psycopg

from exporter import poller
from exporter.exposition import Exposition, Sample
from exporter.server.access import Access
from exporter.server.probe import probe
from exporter.snapshot import ProbeResult

_kept: list[object] = []


def put_in(kind: str) -> None:
    """Put one of the faults into this process."""
    KINDS[kind]()


def _memory() -> None:
    """Keep the samples of every publication."""
    publish = Exposition.publish

    def keeping(  # noqa: PLR0913 - as what it stands for
        self: Exposition,
        target: str | None,
        collector: str,
        samples: Iterable[Sample],
        *,
        lifetime: float = math.inf,
        max_series: int | None = None,
    ) -> None:
        kept = tuple(samples)
        _kept.append(kept)
        publish(self, target, collector, kept, lifetime=lifetime, max_series=max_series)

    Exposition.publish = keeping  # type: ignore[method-assign]


def _after_each_probe(leak: Callable[[Access], object]) -> None:
    """Leak something with each probe."""

    async def leaking(access: Access, deadline: float) -> ProbeResult:
        _kept.append(leak(access))
        return await probe(access, deadline)

    vars(poller)["probe"] = leaking


def _session(access: Access) -> object:
    """Leave a session open, if the server lets us in."""
    return asyncio.ensure_future(psycopg.AsyncConnection.connect(access.conninfo(1)))


def _thread(_: Access) -> object:
    """Leave a thread that never ends."""
    thread = threading.Thread(target=threading.Event().wait, daemon=True)
    thread.start()
    return thread


KINDS: Final[Mapping[str, Callable[[], None]]] = {
    "memory": _memory,
    "descriptors": lambda: _after_each_probe(lambda _: socket.socket()),
    "tasks": lambda: _after_each_probe(lambda _: asyncio.ensure_future(asyncio.Event().wait())),
    "threads": lambda: _after_each_probe(_thread),
    "sessions": lambda: _after_each_probe(_session),
}
"""What each kind is called on the command line, and what puts it in."""
