"""The way in: how a server is reached, and a link that is opened within a deadline."""

import asyncio
import functools
import math
import os
import random
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from exporter.server.errors import (
    UNKNOWN,
    AuthenticationError,
    PollError,
    PollTimeoutError,
    TooManyConnectionsError,
    connect_error,
)
from exporter.server.names import look_up_all
from exporter.server.places import Attempt, attempts, destination

APPLICATION_NAME = "pgconn-exporter"

Link = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach a server; the DSN may hold a password, so it is kept out of repr.

    `named_ours` has the session named as ours, whatever the DSN calls it.
    """

    dsn: str
    password_file: Path | None = None
    named_ours: bool = False

    def __repr__(self) -> str:
        return "Access(...)"

    def conninfo(self, deadline: float) -> str:
        """Give the connection string; the password is read anew, since such files are rotated."""
        given = {} if self.password_file is None else {"password": self._password()}
        if self.named_ours:
            given["application_name"] = APPLICATION_NAME
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
    expires = time.monotonic() + deadline
    conninfo = _conninfo(access, deadline)
    wanted = destination(conninfo)
    # A name that nobody answers for must leave time for the other places.
    patience = deadline if len(wanted.places) == 1 else deadline / 2
    addresses, problems = await look_up_all(wanted.names, patience)
    places = list(attempts(wanted, addresses))
    if wanted.load_balance_hosts == "random":
        random.shuffle(places)
    connect = functools.partial(_connect, conninfo, simple=simple)
    link = await _first(connect, places, expires, problems)
    if link is not None:
        return link
    if places and time.monotonic() >= expires:
        problems.append(PollTimeoutError(f"no connection within {deadline:g} s"))
    raise most_telling(problems)


def _conninfo(access: Access, deadline: float) -> str:
    """Give the connection string, which takes a look at the password file; raise a PollError."""
    try:
        return access.conninfo(deadline)
    except OSError as error:
        raise AuthenticationError(
            f"password_file: {error.strerror or error}", sqlstate=UNKNOWN
        ) from None
    except UnicodeDecodeError:
        raise AuthenticationError("password_file: not UTF-8", sqlstate=UNKNOWN) from None
    except psycopg.Error as error:
        raise connect_error(error) from None


async def _connect(conninfo: str, attempt: Attempt, *, simple: bool) -> Link | PollError:
    """Make one attempt to connect, for as long as we are let."""
    cursors = psycopg.AsyncClientCursor if simple else psycopg.AsyncCursor
    try:
        return await psycopg.AsyncConnection.connect(
            conninfo, autocommit=True, cursor_factory=cursors, **attempt._asdict()
        )
    except psycopg.Error as error:
        return connect_error(error)


async def _first(
    connect: Callable[[Attempt], Coroutine[Any, Any, Link | PollError]],
    places: Sequence[Attempt],
    expires: float,
    problems: list[PollError],
) -> Link | None:
    """Give the first link of all, or None; what goes wrong joins the problems.

    An attempt begins when the one before has failed or has had its share of the time. Who has
    had it goes on: a dead address must not keep us from the next one, nor we from a slow server.
    """
    waiting, running = list(places), set[asyncio.Task[Link | PollError]]()
    try:
        while (waiting or running) and (left := expires - time.monotonic()) > 0:
            if waiting:
                running.add(asyncio.ensure_future(connect(waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=left / (len(waiting) + 1), return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                running.discard(task)
                found = task.result()
                if not isinstance(found, PollError):
                    return found
                problems.append(found)
    finally:
        await _abandon(running)
    return None


async def _abandon(running: set[asyncio.Task[Link | PollError]]) -> None:
    """End attempts that nobody needs, and close a link that came all the same."""
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled() and isinstance(found := task.result(), psycopg.AsyncConnection):
            await found.close()


def most_telling(problems: Sequence[PollError]) -> PollError:
    """Make one error of those of all attempts, of the kind that tells most.

    What a server answered tells more than silence, and what may pass by itself more than what
    may not: that is tried again sooner.
    """
    kind = min(reversed(problems), key=_telling)
    words = "; ".join(dict.fromkeys(map(str, problems)))
    return type(kind)(words, sqlstate=kind.sqlstate, cure=kind.cure)


def _telling(problem: PollError) -> int:
    """Rank an error, the most telling first."""
    if isinstance(problem, TooManyConnectionsError):
        return 0
    if problem.persistent:
        return 2
    return 1 if problem.sqlstate else 3


def abort(link: Link) -> None:
    """Shut the socket down under libpq, so that whatever waits on it fails at once.

    psycopg's own cancel waits 5 to 11 s for a stopped backend or a dead network.
    """
    try:
        with socket.socket(fileno=os.dup(link.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        return  # it is closed already
