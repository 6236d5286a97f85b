"""The limits of what clients may take of us, with sockets that behave badly."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pytest
from structlog.testing import capture_logs

from exporter.exposition import Exposition, Kind, Metric, Sample
from exporter.web.application import Reload, make_application
from exporter.web.server import Server
from exporter.web.visitors import Limits

PATIENCE: Final = 10.0
HELD = Metric("pgconn_connections", Kind.GAUGE, "Connections.", ("application_name",))
ASK: Final = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
HEALTHY: Final = b"GET /-/healthy HTTP/1.1\r\nHost: here\r\n\r\n"
MEBIBYTE: Final = 1 << 20

# Far more than the kernel takes off our hands for a client that does not read.
LARGE: Final = 8 * MEBIBYTE


class Link:
    """A client's connection."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link

    async def say(self, data: bytes) -> None:
        """Send."""
        await asyncio.get_running_loop().sock_sendall(self.link, data)

    async def hear(self, most: int = MEBIBYTE) -> bytes:
        """Receive; nothing at the end, however it was ended."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.get_running_loop().sock_recv(self.link, most)
        except ConnectionError:
            return b""

    async def all(self) -> bytes:
        """Receive to the end."""
        heard = b""
        while more := await self.hear():
            heard += more
        return heard

    async def ask(self, request: bytes) -> bytes:
        """Send a request whose answer is small."""
        await self.say(request)
        return await self.hear()

    async def is_open(self) -> bool:
        """Tell whether the other end is still there, by asking it something."""
        try:
            return b"healthy" in await self.ask(HEALTHY)
        except ConnectionError:
            return False


@dataclass
class House:
    """A server, and the connections to it."""

    server: Server
    port: int
    exposition: Exposition
    links: contextlib.ExitStack

    async def enter(self, receive_buffer: int = 0) -> Link:
        """Connect."""
        link = self.links.enter_context(socket.socket())
        if receive_buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        link.setblocking(False)  # noqa: FBT003 - the library's own signature
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self.port))
        return Link(link)

    def fill(self, size: int) -> None:
        """Publish a page of at least so many bytes."""
        name = "x" * 1000
        samples = (Sample(HELD, (f"{name}{number}",), 1) for number in range(size // 1000 + 1))
        self.exposition.publish("orders", "activity", samples)


@asynccontextmanager
async def house(limits: Limits, reload: Reload | None = None) -> AsyncIterator[House]:
    """Serve with these limits."""
    exposition = Exposition([HELD])
    exposition.watch("orders", "activity")
    application = make_application(exposition, lambda: True, "/metrics", reload)
    server = Server(application, "127.0.0.1", 0, limits)
    await server.start()
    try:
        with contextlib.ExitStack() as links:
            yield House(server, server.port, exposition, links)
    finally:
        await server.stop()


async def test_the_longest_idle_makes_room() -> None:
    """Who comes last always gets in; who has just been served stays."""
    with capture_logs() as logs:
        async with house(Limits(connections=3)) as place:
            used, first, second = [await place.enter() for _ in range(3)]
            assert await used.is_open()
            third, fourth = [await place.enter() for _ in range(2)]
            assert await first.hear() == await second.hear() == b""
            for link in (used, third, fourth):
                assert await link.is_open()
    told = [(line["event"], line["limit"]) for line in logs]
    assert told == [("too many http connections", 3)]  # once, not for each


async def test_half_a_request_is_ended() -> None:
    """A request has to come to its end in time, byte by byte or not at all."""
    async with house(Limits(request_seconds=0.3, sweep_seconds=0.05)) as place:
        silent, trickling, resting = [await place.enter() for _ in range(3)]
        assert await resting.is_open()

        async def trickle() -> None:
            for byte in ASK[:-1] * 100:
                await trickling.say(bytes([byte]))
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await trickle()
        assert await silent.hear() == b""
        assert await resting.is_open()
        await resting.say(ASK[:-1])  # a further request has to end, too
        assert await resting.hear() == b""


async def test_an_answer_that_nobody_reads_is_ended() -> None:
    """Who stops reading is cut off, and who reads slowly is not."""
    limits = Limits(stalled_seconds=0.6, sweep_seconds=0.05)
    async with house(limits) as place:
        place.fill(LARGE)
        stalled, slow = await place.enter(4096), await place.enter(MEBIBYTE // 4)
        for link in (stalled, slow):
            await link.say(ASK)
        begun, heard = time.monotonic(), 0
        while heard < LARGE:
            piece = await slow.hear(LARGE // 100)
            assert piece
            heard += len(piece)
            await asyncio.sleep(0.02)
        assert time.monotonic() - begun > 2 * limits.stalled_seconds
        assert len(await stalled.all()) < LARGE


async def read_on(link: Link) -> None:
    """Read the rest of a large page, of which something has been read."""
    read = 1
    while read < LARGE:
        piece = await link.hear()
        assert piece
        read += len(piece)


@pytest.mark.parametrize("changing", [True, False])
async def test_unread_answers_are_bounded(*, changing: bool) -> None:
    """Where what we hold is too much, who has read nothing for longest goes.

    Any number may read the same page slowly; but when each has asked for another, we hold them all.
    """
    with capture_logs() as logs:
        # No sweep: it takes for a sign of life what the kernel took from us meanwhile.
        async with house(Limits(unread_bytes=4 * LARGE, sweep_seconds=100)) as place:
            place.fill(LARGE)
            links = [await place.enter() for _ in range(6)]
            for link in links:
                if changing:
                    place.fill(LARGE)
                await link.say(ASK)
                assert await link.hear(1)  # it is being answered
            for link in links[:3] if changing else ():
                assert len(await link.all()) < LARGE
            for link in links[3:] if changing else links:
                await read_on(link)
    assert [line["event"] for line in logs] == ["too many slow readers"] * changing


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /metrics?target=" + b"x" * MEBIBYTE + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)),
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1048576\r\n\r\n" + b"x" * MEBIBYTE,
    ],
    ids=["query", "headers", "body"],
)
async def test_a_request_that_is_too_large(request_: bytes) -> None:
    """It is told so, although it is not read to its end."""
    async with house(Limits(linger_seconds=0.1)) as place:
        link = await place.enter()
        await link.say(request_)
        answer = await link.all()
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert answer.endswith(b"\r\n\r\na request has at most 65536 bytes\n")


async def test_a_body_that_nobody_wants() -> None:
    """It is answered at once, and the connection is closed rather than read for ever."""
    async with house(Limits(linger_seconds=0.1)) as place:
        link = await place.enter()
        head = b"POST /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000\r\n\r\n"
        answer = await link.ask(head)
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"Connection: close" in answer
        assert await link.all() == b""


async def test_a_long_reload_is_no_half_request() -> None:
    """Who waits for our answer is not cut off, however long we take."""
    given = asyncio.Event()

    async def reload() -> str | None:
        await given.wait()
        return None

    limits = Limits(request_seconds=0.3, stalled_seconds=0.3, sweep_seconds=0.02)
    async with house(limits, reload) as place:
        link = await place.enter()
        await link.say(b"POST /-/reload HTTP/1.1\r\nHost: here\r\n\r\n")
        await asyncio.sleep(3 * limits.request_seconds)
        given.set()
        assert (await link.hear()).startswith(b"HTTP/1.1 200 ")


async def test_the_end() -> None:
    """When we stop, nobody holds us up: silent, half way, reading nothing, or at rest."""
    async with house(Limits()) as place:
        place.fill(LARGE)
        silent, half, stalled, resting = [await place.enter(4096) for _ in range(4)]
        await half.say(ASK[:-1])
        await stalled.say(ASK)
        assert await resting.is_open()
        async with asyncio.timeout(2):
            await place.server.stop()
        for link in (silent, half, resting):
            assert await link.hear() == b""
        assert len(await stalled.all()) < LARGE
        with pytest.raises(ConnectionRefusedError):
            await place.enter()


async def test_pipelined_requests() -> None:
    """Requests that are sent ahead are answered in their order."""
    async with house(Limits()) as place:
        place.fill(100)
        link = await place.enter()
        await link.say((HEALTHY + ASK) * 20 + ASK.replace(b"Host", b"Connection: close\r\nHost"))
        answers = (await link.all()).split(b"HTTP/1.1 200 OK")[1:]
        assert len(answers) == 41
        assert all(
            (b"healthy" in one) != (b"healthy" in next_) for one, next_ in pairwise(answers[:40])
        )
