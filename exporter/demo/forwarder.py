"""Forward TCP connections from a chosen loopback address, so that clients seem to be apart.

libpq cannot choose the address that it comes from, and whoever connects to 127.0.0.5 still
comes from 127.0.0.1.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from exporter.demo.ports import IPV4

CHUNK = 65536


class Forwarder:
    """Listens on a port of its own and connects from `source` to a server on this machine.

    It runs in a thread, so that clients of any kind can use it.
    """

    def __init__(self, source: str, server_port: int, server: str = IPV4) -> None:
        self.source = source
        self.port = 0
        self._server = (server, server_port)
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"from {source}", daemon=True)

    def start(self) -> None:
        """Start forwarding."""
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Cut all connections and end."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def freeze(self) -> None:
        """Let nothing pass any more, not even the end of a connection: a dead network."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def thaw(self) -> None:
        """Let everything pass again, first of all what has been held back."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        """Accept connections until we are closed; asyncio.run then cancels what is left."""
        self._loop = asyncio.get_running_loop()
        self._ended, self._flowing = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        listener = await asyncio.start_server(self._forward, IPV4, 0)
        self.port = listener.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        listener.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect one client to the server until either side is gone."""
        with contextlib.suppress(OSError, asyncio.CancelledError):
            async with closing(writer):
                there = await asyncio.open_connection(*self._server, local_addr=(self.source, 0))
                async with closing(there[1]):
                    await self._exchange(reader, writer, *there)

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there_reader: asyncio.StreamReader,
        there_writer: asyncio.StreamWriter,
    ) -> None:
        """Carry both directions; when one ends the other is of no use to PostgreSQL."""
        pumps = {
            asyncio.create_task(self._pump(reader, there_writer)),
            asyncio.create_task(self._pump(there_reader, writer)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one direction to its end."""
        while True:
            data = await reader.read(CHUNK)
            await self._flowing.wait()
            if not data:
                return
            writer.write(data)
            await writer.drain()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a stream at the end, after what it still has to send."""
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
