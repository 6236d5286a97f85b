"""Look names up: one look-up at a time for a name, and none that keeps another name waiting.

A resolver that does not answer keeps a thread for as long as it likes; nothing can end it. The
event loop's own threads are few, and each attempt to connect would take another one.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from threading import Thread
from typing import Final

from exporter.server.errors import PollError, PollTimeoutError, RefusedError

Answer = tuple[str, ...] | str
"""The addresses of a name, or why there are none."""

_under_way: Final[dict[str, asyncio.Future[Answer]]] = {}


async def look_up(name: str, patience: float) -> tuple[str, ...]:
    """Give the addresses of a name within so many seconds; raise a PollError.

    Nothing is remembered: who asks later than the answer came asks anew.
    """
    answer = _under_way.get(name)
    if answer is None or answer.get_loop() is not asyncio.get_running_loop():
        answer = _begin(name)
    # Giving up leaves the look-up to those who come after us.
    await asyncio.wait({answer}, timeout=patience)
    if not answer.done():
        raise PollTimeoutError(f"no address of host {name!r} within {patience:g} s")
    found = answer.result()
    if isinstance(found, str):
        raise RefusedError(f"failed to resolve host {name!r}: {found}")
    return found


async def look_up_all(
    names: Sequence[str], patience: float
) -> tuple[dict[str, tuple[str, ...]], list[PollError]]:
    """Look several names up at once; give the addresses of some, and what is wrong with others."""
    errors: list[PollError] = []

    async def addresses(name: str) -> tuple[str, ...]:
        try:
            return await look_up(name, patience)
        except PollError as error:
            errors.append(error)
            return ()

    found = await asyncio.gather(*map(addresses, names))
    return dict(zip(names, found, strict=True)), errors


def _begin(name: str) -> asyncio.Future[Answer]:
    """Ask the resolver, in a thread that does not hold up the end of the process."""
    answer = asyncio.get_running_loop().create_future()
    thread = Thread(target=_ask, args=(name, answer), name="look-up", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # the system lets us have no more threads
        answer.set_result(str(error))
    else:
        _under_way[name] = answer
    return answer


def _ask(name: str, answer: asyncio.Future[Answer]) -> None:
    """Wait for the resolver, however long that takes."""
    with contextlib.suppress(RuntimeError):  # the event loop is gone, and with it who asked
        answer.get_loop().call_soon_threadsafe(_tell, name, answer, resolve(name))


def _tell(name: str, answer: asyncio.Future[Answer], found: Answer) -> None:
    """Give the answer to all who wait; who comes from now on asks anew."""
    if _under_way.get(name) is answer:
        del _under_way[name]
    answer.set_result(found)


def resolve(name: str) -> Answer:
    """Ask the system's resolver, as libpq does; this blocks."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:
        return "not a host name"
    return tuple(dict.fromkeys(str(place[0]) for *_, place in found))
