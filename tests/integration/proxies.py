"""Proxies in front of a server that stop being of use, each in a manner of its own."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from tests.integration.staging import TURN

CHUNK: Final = 65536
# Once the queue of a listener is full the kernel drops further SYNs without a word.
PLUGGED_SECONDS: Final = 0.1

# The protocol's numbers, as of version 3.0.
_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_OK, _CLEARTEXT, _SASL = 0, 3, 10
_TEXT = 25

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Manner = Callable[[Reader, Writer], Awaitable[None]]
"""What a proxy does with a connection instead of forwarding it; where it ends, so does that."""


class Proxy:
    """Forwards connections to a server on this machine, until it is given a manner.

    `manner` is that of the connections to come; None is to forward them.
    """

    def __init__(self, server_port: int, manner: Manner | None = None) -> None:
        self.manner = manner
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.settimeout(0)  # asyncio waits for it
        self.port: int = self._listener.getsockname()[1]
        self._flowing = flowing()
        self._frozen: list[asyncio.Event] = []
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._plugs: list[socket.socket] = []

    def cut(self) -> None:
        """End every connection that there is."""
        for task in self._tasks:
            task.cancel()

    def freeze(self) -> None:
        """Forward nothing more, not even the end of a connection."""
        self._flowing.clear()
        self._frozen.append(self._flowing)

    def renew(self) -> None:
        """Forward what new connections say, while the frozen ones stay as they are."""
        self._flowing = flowing()

    def thaw(self) -> None:
        """Forward everything again, first of all what has been held back."""
        for frozen in self._frozen:
            frozen.set()
        self._frozen.clear()

    async def plug(self) -> None:
        """Have new connections dropped by the kernel, without an answer; old ones go on."""
        await self._stop_accepting()
        for _ in range(10):
            plug = socket.socket()
            plug.settimeout(0)
            self._plugs.append(plug)
            connected = asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", self.port))
            try:
                await asyncio.wait_for(connected, PLUGGED_SECONDS)
            except TimeoutError:
                return
        raise AssertionError("the listener's queue takes everything")

    def unplug(self) -> None:
        """Accept connections again."""
        for plug in self._plugs:
            plug.close()
        self._plugs.clear()
        self._accept()

    def _accept(self) -> None:
        self._accepting = asyncio.ensure_future(self._accept_all())

    async def _stop_accepting(self) -> None:
        assert self._accepting is not None
        self._accepting.cancel()
        await asyncio.wait({self._accepting})

    async def _accept_all(self) -> None:
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            reader, writer = await asyncio.open_connection(sock=client)
            task = asyncio.ensure_future(self._serve(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            # Not by the task: one that is cancelled before it runs does nothing at all.
            task.add_done_callback(partial(ended, writer))

    async def _serve(self, reader: Reader, writer: Writer) -> None:
        """Serve one connection to its end."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await (self.manner or self._forward)(reader, writer)

    async def _forward(self, reader: Reader, writer: Writer) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._server_port)
        gate = self._flowing
        pumps = [
            asyncio.ensure_future(pump(reader, there[1], gate)),
            asyncio.ensure_future(pump(there[0], writer, gate)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            there[1].close()
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._accept()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop_accepting()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for plug in self._plugs:
            plug.close()
        self._listener.close()


def ended(writer: Writer, task: asyncio.Future[None]) -> None:
    """Close a connection that was served."""
    del task
    writer.close()


def flowing() -> asyncio.Event:
    """Make a gate that is open."""
    gate = asyncio.Event()
    gate.set()
    return gate


async def pump(reader: Reader, writer: Writer, gate: asyncio.Event) -> None:
    """Carry one direction to its end, while the gate is open."""
    while data := await reader.read(CHUNK):
        await gate.wait()
        writer.write(data)
        await writer.drain()
    await gate.wait()


# --- Manners


async def never_reads(reader: Reader, writer: Writer) -> None:
    """Accept, and do nothing more."""
    del reader
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()
    await asyncio.Event().wait()  # until we are cut off


async def never_answers(reader: Reader, writer: Writer) -> None:
    """Take whatever comes, and say nothing."""
    del writer
    while await reader.read(CHUNK):
        pass


async def closes(reader: Reader, writer: Writer) -> None:
    """Hang up at once."""
    del reader, writer


async def speaks_garbage(reader: Reader, writer: Writer) -> None:
    """Answer the first bytes with some that are no protocol."""
    await reader.read(CHUNK)
    writer.write(b"\0\xff" + os.urandom(1024))
    await never_answers(reader, writer)


async def speaks_garbage_after_login(reader: Reader, writer: Writer) -> None:
    """Log everybody in, and answer the first statement with noise."""
    await log_in(reader, writer)
    await speaks_garbage(reader, writer)


async def answers_half(reader: Reader, writer: Writer) -> None:
    """Break off in the middle of the first message, and stay."""
    await started(reader, writer)
    writer.write(message(b"R", number(_OK))[:6])
    await never_answers(reader, writer)


async def never_ends_tls(reader: Reader, writer: Writer) -> None:
    """Agree to encrypt, and never answer the client's greeting."""
    await reader.readexactly(8)
    writer.write(b"S")
    await never_answers(reader, writer)


async def breaks_off_tls(reader: Reader, writer: Writer) -> None:
    """Agree to encrypt, and break off in the middle of the record that answers the greeting."""
    await reader.readexactly(8)
    writer.write(b"S")
    await reader.read(CHUNK)
    writer.write(b"\x16\x03\x03\x00\x7a\x02\x00")
    await never_answers(reader, writer)


async def asks_for_password(reader: Reader, writer: Writer) -> None:
    """Ask for the password, and never say whether it is the right one."""
    await started(reader, writer)
    writer.write(message(b"R", number(_CLEARTEXT)))
    await never_answers(reader, writer)


async def begins_scram(reader: Reader, writer: Writer) -> None:
    """Begin to authenticate, and never come to the end of it."""
    await started(reader, writer)
    writer.write(message(b"R", number(_SASL) + b"SCRAM-SHA-256\0\0"))
    await never_answers(reader, writer)


async def hangs_after_login(reader: Reader, writer: Writer) -> None:
    """Log everybody in, and answer no statement, as a pooler does that has lost its server."""
    await log_in(reader, writer)
    await never_answers(reader, writer)


async def promises_much(reader: Reader, writer: Writer) -> None:
    """Announce a row of a gigabyte after the login, of which little comes."""
    await log_in(reader, writer)
    await reader.read(CHUNK)
    writer.write(b"D" + number(2**30) + bytes(CHUNK))
    await never_answers(reader, writer)


async def talks_without_end(reader: Reader, writer: Writer) -> None:
    """Answer the first statement with notices, hundreds at a time."""
    await log_in(reader, writer)
    await reader.read(CHUNK)
    notice = message(b"N", b"SNOTICE\0C00000\0Mand so on\0\0")
    while True:
        writer.write(notice * 500)
        await writer.drain()
        await asyncio.sleep(TURN)


async def sends_rows_without_end(reader: Reader, writer: Writer) -> None:
    """Answer the first statement with rows of a megabyte, one after the other."""
    await log_in(reader, writer)
    await reader.read(CHUNK)
    writer.write(message(b"1", b"") + message(b"Z", b"I"))
    await reader.read(CHUNK)
    column = b"text\0" + number(0) + short(0) + number(_TEXT) + short(-1) + number(-1) + short(1)
    writer.write(message(b"2", b"") + message(b"T", short(1) + column))
    row = message(b"D", short(1) + number(2**20) + bytes(2**20))
    while True:
        writer.write(row)
        await writer.drain()
        await asyncio.sleep(TURN)


async def names_no_encoding(reader: Reader, writer: Writer) -> None:
    """Log everybody in with an encoding that nobody knows, and hang."""
    await log_in(reader, writer, encoding=b"EUC_NOWHERE")
    await never_answers(reader, writer)


MANNERS: Final[tuple[Manner, ...]] = (
    never_reads,
    never_answers,
    closes,
    speaks_garbage,
    speaks_garbage_after_login,
    answers_half,
    never_ends_tls,
    breaks_off_tls,
    asks_for_password,
    begins_scram,
    hangs_after_login,
    promises_much,
    talks_without_end,
    sends_rows_without_end,
    names_no_encoding,
)
"""Everything that may become of a connection."""


# --- The server's part of the protocol


async def started(reader: Reader, writer: Writer) -> None:
    """Read the startup message; whoever asks for encryption first goes without."""
    while True:
        length = int.from_bytes(await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if int.from_bytes(body[:4]) not in {_SSL_REQUEST, _GSS_REQUEST}:
            return
        writer.write(b"N")


async def log_in(reader: Reader, writer: Writer, encoding: bytes = b"UTF8") -> None:
    """Log in whoever comes, as PostgreSQL 18 does."""
    await started(reader, writer)
    told = {b"server_version": b"18.0", b"client_encoding": encoding}
    writer.write(message(b"R", number(_OK)))
    for name, value in told.items():
        writer.write(message(b"S", name + b"\0" + value + b"\0"))
    writer.write(message(b"K", number(4711) + number(1)) + message(b"Z", b"I"))


def message(kind: bytes, body: bytes) -> bytes:
    """Make a message."""
    return kind + number(len(body) + 4) + body


def number(value: int) -> bytes:
    """Make a number as the protocol has them."""
    return value.to_bytes(4, signed=True)


def short(value: int) -> bytes:
    """Make a number of two bytes."""
    return value.to_bytes(2, signed=True)
