"""The load: customers who ask for a page again and again, and note what they got."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.integration.staging import eventually


@dataclass(slots=True)
class Customers:
    """What the answers were: HTTP status, or `lost` where there was none."""

    answers: Counter[int | str] = field(default_factory=Counter)

    async def served(self, number: int, patience: float = 20) -> None:
        """Wait until so many more requests were answered with 200."""
        goal = self.answers[200] + number

        async def look() -> bool:
            return self.answers[200] >= goal

        await eventually(look, patience)


@asynccontextmanager
async def customers(
    number: int, page: Callable[[], str], pause: float = 0.05, patience: float = 10
) -> AsyncIterator[Customers]:
    """Let customers come: each asks for a page, waits for its answer, pauses, and asks again.

    `page` gives the URL of the next request; `patience` is how long a customer waits.
    """
    seen = Customers()
    async with _session(patience) as session:
        each = (_customer(session, page, pause, seen) for _ in range(number))
        async with _at_once(each):
            yield seen


@asynccontextmanager
async def bursts(
    number: int, page: Callable[[], str], pause: float = 1, patience: float = 10
) -> AsyncIterator[Customers]:
    """Let so many customers come at once; when all have their answers nobody comes for a while."""
    seen = Customers()
    async with _session(patience) as session:

        async def come() -> None:
            while True:
                await asyncio.gather(*(_ask(session, page, seen) for _ in range(number)))
                await asyncio.sleep(pause)

        async with _at_once([come()]):
            yield seen


def _session(patience: float) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=patience)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(timeout=timeout, connector=connector)


@asynccontextmanager
async def _at_once(coroutines: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run all of them until the end."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _customer(
    session: aiohttp.ClientSession, page: Callable[[], str], pause: float, seen: Customers
) -> None:
    while True:
        await _ask(session, page, seen)
        await asyncio.sleep(pause)


async def _ask(session: aiohttp.ClientSession, page: Callable[[], str], seen: Customers) -> None:
    try:
        async with session.get(page()) as response:
            await response.read()
            seen.answers[response.status] += 1
    except (aiohttp.ClientError, TimeoutError):
        seen.answers["lost"] += 1
