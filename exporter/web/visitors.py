"""The connections of our clients: how many there may be, and when one has had its time.

aiohttp closes a connection that rests for too long between two requests. One that never finishes
a request, or never reads its answer, it lets stay; nor does it limit how many there are. So we
stand between it and the sockets.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Self, cast

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

# How much of a page is handed over at a time: a page that is compressed goes at once.
PIECE: Final = 256 << 10

# Seconds between two lines of the log of the same kind.
QUIET_SECONDS: Final = 60.0

# What is unread is thrown away when we close: the kernel would go on offering it for minutes.
AT_ONCE: Final = struct.pack("ii", 1, 0)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take of us.

    connections: fifty scrapers twice over; of the usual 1024 file descriptors most are left to
        our connections to servers, even if as many again are accepted before we have looked.
    request_bytes: a request line and headers; the cookies of a browser are the largest.
    request_seconds: from the first byte of a request, or from connecting, to the last.
    stalled_seconds: while somebody reads nothing of an answer.
    linger_seconds: after an answer to what we do not read to its end, so that it is seen.
    unread_bytes: of all answers together, beyond what the kernel holds; a page that several
        read at a time counts once.
    sweep_seconds: between two looks at who has had his time.
    """

    connections: int = 128
    request_bytes: int = 64 << 10
    request_seconds: float = 10.0
    stalled_seconds: float = 10.0
    linger_seconds: float = 1.0
    unread_bytes: int = 64 << 20
    sweep_seconds: float = 1.0


class Phase(Enum):
    """What is awaited of a connection."""

    ASKING = auto()
    """A whole request."""

    BUSY = auto()
    """Nothing: we are about to answer."""

    RESTING = auto()
    """Nothing but that it reads its answer; a further request may come."""

    LEAVING = auto()
    """That it goes: it was told so, and what it sends is thrown away."""


class Answer:
    """A large page on its way to a client: piece by piece, as it is read.

    Handed over as a whole, each client had its own copy of what it has not read.
    """

    def __init__(self, page: bytes = b"") -> None:
        self.page = page
        self.left = len(page)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> memoryview:
        if not self.left:
            self.page = b""  # a client that rests is to hold no page
            raise StopAsyncIteration
        start = len(self.page) - self.left
        piece = memoryview(self.page)[start : start + PIECE]
        self.left -= len(piece)
        return piece


class Visitor(asyncio.Protocol):
    """One connection of a client.

    It is handed on to aiohttp with its first byte, so that a silent one costs little.
    """

    def __init__(self, visitors: "Visitors") -> None:
        self._visitors = visitors
        self._handler: web.RequestHandler | None = None
        self._received = 0
        self.transport: asyncio.Transport
        self.phase = Phase.ASKING
        self.since = 0.0
        self.answer = Answer()
        self.unread_before = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let somebody in."""
        self.transport = cast("asyncio.Transport", transport)
        self._visitors.admit(self)

    def data_received(self, data: bytes) -> None:
        """Hand on what arrives, unless it is too much for a request."""
        if self.phase is Phase.RESTING:
            self._received = 0
            self._visitors.enter(self, Phase.ASKING)
        self._received += len(data)
        limit = self._visitors.limits.request_bytes
        if self.phase is Phase.ASKING and self._received > limit:
            self._visitors.enter(self, Phase.LEAVING)
            self.transport.write(too_large(limit))
            # What is not read when a connection is closed can take the answer with it.
            linger = self._visitors.limits.linger_seconds
            asyncio.get_running_loop().call_later(linger, self.transport.close)
        elif self.phase is not Phase.LEAVING:
            self._aiohttp().data_received(data)

    def _aiohttp(self) -> web.RequestHandler:
        if self._handler is None:
            self._handler = self._visitors.make_handler()
            self._handler.connection_made(self.transport)
        return self._handler

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._visitors.forget(self)
        if self._handler is not None:
            self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """Tell aiohttp that the client reads slower than we write."""
        self._aiohttp().pause_writing()

    def resume_writing(self) -> None:
        """Tell aiohttp that the client has caught up."""
        self._aiohttp().resume_writing()

    @property
    def unread(self) -> int:
        """Give how many bytes of its answer we still have."""
        return self.answer.left + self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """End it, whatever is unread."""
        link: socket.socket = self.transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()


class Visitors:
    """All connections of clients, who has shown no sign of life for longest first.

    When there are too many, that one makes room: so a scraper gets in however many others hold
    connections that they do not use.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.make_handler: Callable[[], web.RequestHandler]
        self._present: dict[asyncio.BaseTransport | None, Visitor] = {}
        self._loop: asyncio.AbstractEventLoop
        self._sweep: asyncio.TimerHandle | None = None
        self._quiet_until: dict[str, float] = {}

    def open(self, make_handler: Callable[[], web.RequestHandler]) -> None:
        """Begin; `make_handler` gives what serves a connection."""
        self.make_handler = make_handler
        self._loop = asyncio.get_running_loop()
        self._sweep = self._loop.call_later(self.limits.sweep_seconds, self.sweep)

    def close(self) -> None:
        """Send everybody away."""
        if self._sweep is not None:
            self._sweep.cancel()
        for visitor in tuple(self._present.values()):
            self._drop(visitor)

    def visitor(self) -> Visitor:
        """Make what asyncio wants for a connection that it has accepted."""
        return Visitor(self)

    def admit(self, visitor: Visitor) -> None:
        """Let somebody in, in the place of another if need be."""
        self.enter(visitor, Phase.ASKING)
        if len(self._present) > self.limits.connections:
            self._tell("too many http connections", limit=self.limits.connections)
            self._drop(next(iter(self._present.values())))

    def enter(self, visitor: Visitor, phase: Phase) -> None:
        """Note a sign of life."""
        self.forget(visitor)
        visitor.phase, visitor.since = phase, self._loop.time()
        self._present[visitor.transport] = visitor

    def forget(self, visitor: Visitor) -> None:
        """Take note that somebody has gone."""
        self._present.pop(visitor.transport, None)

    def _drop(self, visitor: Visitor) -> None:
        self.forget(visitor)
        visitor.abort()

    def _tell(self, event: str, **facts: object) -> None:
        """Say that clients are cut off because there is too much of them, once a minute."""
        now = self._loop.time()
        if now >= self._quiet_until.get(event, 0.0):
            self._quiet_until[event] = now + QUIET_SECONDS
            log.warning(event, **facts)

    @web.middleware
    async def attend(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note when a request has come as a whole, and when it is answered."""
        visitor = self._present.get(request.transport)
        if visitor is None or visitor.phase is Phase.LEAVING:
            return await handler(request)
        self.enter(visitor, Phase.BUSY)
        response = await handler(request)
        if request.can_read_body:
            # Nobody wants it, and what comes is no request: aiohttp waits a moment, and closes.
            response.force_close()
        elif visitor.transport in self._present:
            self.enter(visitor, Phase.RESTING)
        if isinstance(response, web.Response) and request.method != "HEAD":
            divide(response, visitor)
        self._make_room()
        return response

    def _make_room(self) -> None:
        """Cut off who reads slowest, where what is unread is too much."""
        readers = [visitor for visitor in self._present.values() if visitor.unread]
        while len(readers) > 1 and held(readers) > self.limits.unread_bytes:
            self._tell("too many slow readers", limit_bytes=self.limits.unread_bytes)
            self._drop(readers.pop(0))

    def sweep(self) -> None:
        """End what has had its time: half a request, or an answer that nobody reads."""
        self._sweep = self._loop.call_later(self.limits.sweep_seconds, self.sweep)
        for visitor in tuple(self._present.values()):
            if visitor.unread < visitor.unread_before:
                self.enter(visitor, visitor.phase)
            visitor.unread_before = visitor.unread
            if self._is_overdue(visitor):
                self._drop(visitor)

    def _is_overdue(self, visitor: Visitor) -> bool:
        silent = self._loop.time() - visitor.since
        if visitor.phase in {Phase.ASKING, Phase.LEAVING}:
            return silent > self.limits.request_seconds
        return visitor.unread > 0 and silent > self.limits.stalled_seconds


def divide(response: web.Response, visitor: Visitor) -> None:
    """Have a large answer handed over in pieces."""
    if isinstance(response.body, bytes) and len(response.body) > PIECE:
        response.headers["Content-Length"] = str(len(response.body))
        response.body = visitor.answer = Answer(response.body)


def held(visitors: Sequence[Visitor]) -> int:
    """Count the bytes that we hold for visitors."""
    pages = {id(page): len(page) for page in (visitor.answer.page for visitor in visitors)}
    return sum(pages.values()) + sum(v.transport.get_write_buffer_size() for v in visitors)


def too_large(limit: int) -> bytes:
    """Make the answer to a request that has more bytes than the limit."""
    text = f"a request has at most {limit} bytes\n"
    return (
        "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode()
