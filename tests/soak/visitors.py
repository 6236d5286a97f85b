"""Clients of the exporter's HTTP server that misbehave, and some that do not."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from tests.integration.watching import OPENMETRICS

REQUEST: Final = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n"
ODD_REQUESTS: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS
    b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: exporter\r\n\r\n",
    b"BREW /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n",
    b"DELETE /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n",
    b"GET /metrics?target=nowhere HTTP/1.1\r\nHost: exporter\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: exporter\r\nContent-Length: 999999999\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: exporter\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /metrics HTTP/9.9\r\n\r\n",
    b"\r\n\r\n\r\n",
)
READ_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 10.0  # as Prometheus waits for a scrape by default
SCRAPE_SECONDS: Final = 0.2
SCRAPERS: Final = (
    {"Accept": OPENMETRICS},
    {"Accept": OPENMETRICS, "Accept-Encoding": "identity"},
    {"Accept": "text/plain"},
)


def place(url: str) -> tuple[str, int]:
    """Give host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0


@asynccontextmanager
async def connected(
    url: str,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the exporter, and close the connection in the end."""
    reader, writer = await asyncio.open_connection(*place(url))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def garbage(url: str, chance: Random) -> None:
    """Send what is no request, or none that anybody would answer, and some noise."""
    for request in (*ODD_REQUESTS, chance.randbytes(chance.randint(1, 5000))):
        async with connected(url) as (reader, writer):
            with suppress(OSError, TimeoutError):
                writer.write(request)
                writer.write_eof()
                async with asyncio.timeout(READ_SECONDS):
                    await reader.read()


async def half_requests(url: str, hold: float, count: int = 20) -> None:
    """Begin requests that never end."""
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(half_request(url, hold, number))


async def half_request(url: str, hold: float, number: int) -> None:
    """Send a part of a request, and keep the connection."""
    async with connected(url) as (_, writer):
        writer.write(REQUEST[: number * len(REQUEST) // 20])
        await asyncio.sleep(hold)


async def slow_readers(url: str, hold: float, count: int = 10) -> None:
    """Ask for many pages and read none."""
    sockets = [socket.create_connection(place(url)) for _ in range(count)]
    try:
        for reader in sockets:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.setblocking(False)  # noqa: FBT003 - its name
            with suppress(BlockingIOError):
                reader.sendall(REQUEST * 100)
        await asyncio.sleep(hold)
    finally:
        for reader in sockets:
            reader.close()


async def dropped(url: str, count: int = 200) -> None:
    """Open connections, and reset them at once, some in the middle of a request."""
    for number in range(count):
        with socket.create_connection(place(url)) as connection, suppress(OSError):
            if number % 2:
                connection.sendall(REQUEST)
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        if number % 20 == 0:
            await asyncio.sleep(0)


class Scrapers:
    """A Prometheus or three: their scrapes must all be answered. Times in seconds."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seconds: list[float] = []
        self.failures: list[str] = []

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Scrape all the time, each in its own format."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            tasks = [asyncio.create_task(self._scrape(session, h)) for h in SCRAPERS]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _scrape(self, session: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        while True:
            began = monotonic()
            try:
                async with session.get(f"{self._url}/metrics", headers=headers) as response:
                    body = await response.read()
                    if response.status != 200 or b"pgconn_up" not in body:
                        self.failures.append(f"status {response.status}, {len(body)} bytes")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.failures.append(repr(error))
            self.seconds.append(monotonic() - began)
            await asyncio.sleep(SCRAPE_SECONDS)
