"""The way in: how a server is reached, and a link that is opened within a deadline."""

import asyncio
import math
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from exporter.server.errors import (
    UNKNOWN,
    AuthenticationError,
    PollTimeoutError,
    connect_error,
)

APPLICATION_NAME = "pgconn-exporter"

Link = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server; the DSN may hold a password, so it is kept out of repr."""

    dsn: str
    password_file: Path | None = None

    def __repr__(self) -> str:
        return "Access(...)"

    def conninfo(self, deadline: float) -> str:
        """Give the connection string; the password is read anew, since such files are rotated."""
        given = {} if self.password_file is None else {"password": self._password()}
        return make_conninfo(
            self.dsn,
            fallback_application_name=APPLICATION_NAME,
            client_encoding="utf-8",
            # psycopg waits for 2 s at least; our own deadline is the one that counts.
            connect_timeout=max(2, math.ceil(deadline)),
            # Should we die without a goodbye, or the network: our socket does not linger.
            keepalives_idle=4,
            keepalives_interval=2,
            keepalives_count=2,
            tcp_user_timeout=math.ceil(deadline * 1000),
            **given,
        )

    def _password(self) -> str:
        assert self.password_file is not None  # noqa: S101 - the caller looked
        return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")


async def open_link(access: Access, deadline: float, *, simple: bool = False) -> Link:
    """Connect and log in within a deadline in seconds; raise a PollError.

    `simple` is for a server that knows the simple query protocol alone.
    """
    cursors = psycopg.AsyncClientCursor if simple else psycopg.AsyncCursor
    try:
        conninfo = access.conninfo(deadline)
        async with asyncio.timeout(deadline):
            return await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, cursor_factory=cursors
            )
    except TimeoutError:
        raise PollTimeoutError(f"no connection within {deadline:g} s") from None
    except OSError as error:
        # libpq's own errors are no OSError: this is the file that we read ourselves.
        raise AuthenticationError(
            f"password_file: {error.strerror or error}", sqlstate=UNKNOWN
        ) from None
    except UnicodeDecodeError:
        raise AuthenticationError("password_file: not UTF-8", sqlstate=UNKNOWN) from None
    except psycopg.Error as error:
        raise connect_error(error) from None


def abort(link: Link) -> None:
    """Shut the socket down under libpq, so that whatever waits on it fails at once.

    psycopg's own cancel waits 5 to 11 s for a stopped backend or a dead network.
    """
    try:
        with socket.socket(fileno=os.dup(link.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # it is closed already
