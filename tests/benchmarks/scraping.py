"""How long a scrape of about 5000 series takes, over HTTP on a connection that is kept.

    python -m tests.benchmarks.scraping [--quick]

The real daemon in a process of its own, at its defaults, with a fleet of targets: they are one
real server under many names, each polled every second. So the page changes many times a second,
and polls get into the way of scrapes as they do in life. Afterwards, prometheus_client renders the
same series for comparison.
"""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Self
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from exporter.exposition import Exposition, Kind, Metric, Sample
from tests.benchmarks.crowd import Crowd, server
from tests.benchmarks.harness import machine, milliseconds, options, percentile, show, tell
from tests.benchmarks.polling import watching

SESSIONS, TARGETS = 100, 12
COLUMNS = ("scrapes", "scrapers", "encoding", "number", "p50 ms", "p90 ms", "p99 ms")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many scrapers there are in turn, and how long they scrape. In seconds."""

    scrapers: Sequence[int]
    encodings: Sequence[str]
    warm_up: float
    in_a_row: float
    at_random: float
    rounds: int


FULL = Plan((1, 4, 16), ("gzip", "identity"), warm_up=5, in_a_row=5, at_random=20, rounds=30)
QUICK = Plan((1, 16), ("gzip",), warm_up=2, in_a_row=1, at_random=4, rounds=5)


class Scraper:
    """The least client that there is, so that its own time does not count for much."""

    def __init__(self, url: str, encoding: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname or "", place.port or 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = (
            f"GET /metrics HTTP/1.1\r\nHost: {place.netloc}\r\nAccept-Encoding: {encoding}\r\n\r\n"
        ).encode()
        self._before = b""
        self.same: list[float] = []
        self.changed: list[float] = []

    def scrape(self) -> bytes:
        """Scrape once, and note how long it took, apart for a page that we have seen before."""
        start = time.perf_counter()
        self._socket.sendall(self._request)
        body = self._receive()
        taken = time.perf_counter() - start
        (self.same if body == self._before else self.changed).append(taken)
        self._before = body
        return body

    def _receive(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._socket.recv(1 << 20)
        head, _, body = received.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        assert " 200 " in status, status
        [length] = [line for line in headers if line.lower().startswith("content-length:")]
        parts, missing = [body], int(length.partition(":")[2]) - len(body)
        while missing:
            parts.append(self._socket.recv(1 << 20))
            missing -= len(parts[-1])
        return b"".join(parts)

    def in_a_row(self, seconds: float) -> None:
        """Scrape again as soon as the last scrape is answered."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.scrape()

    def at_random(self, interval: float, seconds: float) -> None:
        """Scrape once an interval, as Prometheus does, but at another moment of each."""
        start = time.monotonic()
        for number in range(int(seconds / interval)):
            moment = start + interval * (number + random.random())
            time.sleep(max(0.0, moment - time.monotonic()))
            self.scrape()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def scraped(
    url: str, count: int, encoding: str, work: Callable[[Scraper], None]
) -> tuple[list[float], list[float]]:
    """Let so many scrapers work at a time; give their times, for same and for changed pages."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:
        scrapers = [stack.enter_context(Scraper(url, encoding)) for _ in range(count)]
        list(pool.map(work, scrapers))
    return (
        [seconds for scraper in scrapers for seconds in scraper.same],
        [seconds for scraper in scrapers for seconds in scraper.changed],
    )


def figures(seconds: Sequence[float]) -> tuple[str, ...]:
    """Give how many there are, and their percentiles in milliseconds."""
    shares = (0.5, 0.9, 0.99) if seconds else ()
    return (f"{len(seconds)}", *(f"{1000 * percentile(seconds, share):.2f}" for share in shares))


def table(url: str, plan: Plan) -> Iterator[tuple[str, ...]]:
    """Yield the rows: each number of scrapers, with and without compression."""
    for count, encoding in product(plan.scrapers, plan.encodings):
        name = (f"{count}", encoding)
        same, changed = scraped(
            url, count, encoding, partial(Scraper.in_a_row, seconds=plan.in_a_row)
        )
        yield ("in a row: same page", *name, *figures(same))
        yield ("in a row: behind a poll", *name, *figures(changed))
        interval = min(1.0, count / 4)  # one scraper alone comes more often, to be seen enough
        same, changed = scraped(
            url,
            count,
            encoding,
            partial(Scraper.at_random, interval=interval, seconds=plan.at_random),
        )
        yield ("at random moments", *name, *figures(same + changed))


@dataclass(frozen=True, slots=True, eq=False)
class Fixed(Collector):
    """Gives prometheus_client families that are ready to be rendered."""

    families: Sequence[Family]

    def collect(self) -> Iterable[Family]:
        """Give them."""
        return self.families


def compared(page: str, rounds: int) -> tuple[float, float, float]:
    """Give the processor time to make a page, in milliseconds.

    By prometheus_client, which does all at the scrape; by us when all targets are polled at once,
    lines and compression; and by us at the scrape. We take for gauges what the page has.
    """
    families = list(text_string_to_metric_families(page))
    registry = CollectorRegistry()
    registry.register(Fixed(families))
    metric = cache(lambda name, labels: Metric(name, Kind.GAUGE, "", labels))
    samples = [
        Sample(metric(name, tuple(labels)), tuple(labels.values()), value)
        for family in families
        for name, labels, value, *_ in family.samples
    ]
    exposition = Exposition(dict.fromkeys(sample.metric for sample in samples))

    def scrape() -> None:
        exposition.publish(None, "nothing", ())
        exposition.page(compress=True)

    return (
        milliseconds(lambda: generate_latest(registry), rounds),
        milliseconds(lambda: exposition.publish(None, "all", samples), rounds),
        milliseconds(scrape, rounds),
    )


async def measure(plan: Plan) -> None:
    """Watch the fleet, scrape it, and print."""
    with server(SESSIONS) as cluster:
        crowd = Crowd(cluster)
        crowd.grow(SESSIONS)
        async with watching(cluster, TARGETS) as subject:
            await asyncio.sleep(plan.warm_up)
            page = (await subject.scrape()).text
            series = sum(not line.startswith("#") for line in page.splitlines())
            tell(f"{TARGETS} targets, {series} series, {len(page) / 1000:.0f} kB")
            rows = await asyncio.to_thread(lambda: list(table(subject.url, plan)))
        await crowd.disperse()
    show("Scraping, while every target is polled each second", COLUMNS, rows)
    theirs, polls, scrape = compared(page, plan.rounds)
    tell(
        f"Processor time for the same series: prometheus_client {theirs:.1f} ms a scrape, not"
        f" compressed;\nthis exporter {scrape:.2f} ms a scrape, compressed"
        f" ({theirs / scrape:.0f} times less), after {polls:.1f} ms when all were polled"
    )


def main() -> None:
    """Measure, and print."""
    arguments = options(__doc__).parse_args()
    tell(machine())
    asyncio.run(measure(QUICK if arguments.quick else FULL))


if __name__ == "__main__":
    main()
