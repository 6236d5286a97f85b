"""Listen, and serve the application."""

import os

from aiohttp import web

# How long a response that is being sent may take when we stop.
SHUTDOWN_SECONDS = 0.3


class ListenError(Exception):
    """The address cannot be listened on."""


class Server:
    """A running HTTP server."""

    def __init__(self, application: web.Application, host: str, port: int) -> None:
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        self._host, self._port = host, port

    async def start(self) -> None:
        """Begin to listen; raise ListenError where that is not possible."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host or None, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            # asyncio wraps the system's words in its own.
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            raise ListenError(
                f"cannot listen on {self._host}:{self._port}: {reason};"
                " choose another with --web.listen-address"
            ) from None

    @property
    def url(self) -> str:
        """Give the address for a client on this machine."""
        host = self._host if self._host not in {"", "0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def port(self) -> int:
        """Give the port that we listen on."""
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()
