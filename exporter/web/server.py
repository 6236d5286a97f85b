"""Listen, and serve the application."""

import asyncio
import logging
import os
import socket
from typing import Final

from aiohttp import web
from aiohttp.http import HttpProcessingError

from exporter.web.visitors import Limits, Visitors

# How long a response that is being sent may take when we stop.
SHUTDOWN_SECONDS: Final = 0.3

# Prometheus closes a connection that it has not used for 5 minutes. We wait longer, so that no
# scrape meets a connection that we are about to close.
KEEP_ALIVE_SECONDS: Final = 330.0

# How many connections may wait to be accepted. The kernel leaves out what is more, and a scraper
# tries again only after a second.
QUEUE: Final = 4096

# How many asyncio accepts at a time. It takes five turns until it has read a request, so that in a
# flood several times as many come after a scraper, and must not push it out before it has asked.
AT_A_TIME: Final = 16

# How much of an answer the kernel may hold for a connection; it doubles that, as always. By itself
# it takes 4 MB for a client that does not read, which nobody counts.
SEND_BUFFER: Final = 256 << 10

LIMITS: Final = Limits()


class ListenError(Exception):
    """The address cannot be listened on."""


class Server:
    """A running HTTP server."""

    def __init__(
        self, application: web.Application, host: str, port: int, limits: Limits = LIMITS
    ) -> None:
        self._visitors = Visitors(limits)
        application.middlewares.insert(0, self._visitors.attend)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            lingering_time=limits.linger_seconds,
            logger=aiohttp_logger(),
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._host, self._port = host, port
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen; raise ListenError where that is not possible."""
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - set up
        self._visitors.open(self._runner.server)
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._visitors.visitor, self._host or None, self._port, backlog=AT_A_TIME
            )
        except OSError as error:
            await self.stop()
            # asyncio wraps the system's words in its own.
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ListenError(
                f"cannot listen on {self._host}:{self._port}: {reason};"
                " choose another with --web.listen-address"
            ) from None
        for shared in self._listener.sockets:
            with shared.dup() as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
                listening.listen(QUEUE)

    @property
    def url(self) -> str:
        """Give the address for a client on this machine."""
        host = self._host if self._host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def port(self) -> int:
        """Give the port that we listen on."""
        assert self._listener is not None  # noqa: S101 - started
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close every connection."""
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()
        # asyncio closes in its next turn: who has his answer then is not cut off.
        await asyncio.sleep(0)
        self._visitors.close()
        await asyncio.sleep(0)


def aiohttp_logger() -> logging.Logger:
    """Make a logger for aiohttp that leaves out requests which are none."""
    logger = logging.getLogger(__name__)
    logger.addFilter(is_our_fault)
    return logger


def is_our_fault(record: logging.LogRecord) -> bool:
    """Tell whether a line of aiohttp is about more than what a client has sent."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
