"""The load: customers who ask for a page again and again, and note what they got."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
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
    timeout = aiohttp.ClientTimeout(total=patience)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        tasks = [asyncio.create_task(_customer(session, page, pause, seen)) for _ in range(number)]
        try:
            yield seen
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
        try:
            async with session.get(page()) as response:
                await response.read()
                seen.answers[response.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            seen.answers["lost"] += 1
        await asyncio.sleep(pause)
