"""Load and malice over HTTP: the exporter neither dies of it nor swells, and scrapers get in."""

import asyncio
import contextlib
import random
import resource
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

from exporter.demo.cluster import Cluster
from exporter.web.visitors import Limits
from tests.integration.processes import Running, daemon
from tests.integration.staging import MONITOR, Stage, eventually
from tests.integration.watching import POLLS, Scrape, Watch, config_text

# What a version of the server cannot change.
pytestmark = pytest.mark.slow

TARGETS: Final = 10
LIMITS: Final = Limits()
MEGABYTE: Final = 1e6

# How many files the daemon may open: the usual limit. asyncio would log where it is reached.
FILES: Final = 1024

ASK: Final = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
RESET: Final = struct.pack("ii", 1, 0)


@dataclass
class Subject:
    """A daemon that is to be overloaded, and what it needed before."""

    running: Running
    watch: Watch
    process: psutil.Process
    files: int
    memory: int

    @property
    def address(self) -> tuple[str, int]:
        """Give where it listens."""
        place = urlsplit(self.watch.url)
        return place.hostname or "", place.port or 0

    def link(self, data: bytes = b"", receive_buffer: int = 0) -> socket.socket:
        """Connect, and send something."""
        link = socket.socket()
        link.settimeout(10)
        if receive_buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        link.connect(self.address)
        with contextlib.suppress(ConnectionError):
            link.sendall(data)
        return link

    def swollen(self) -> float:
        """Tell by how many megabytes it has grown."""
        return float(self.process.memory_info().rss - self.memory) / MEGABYTE

    async def scraped(self) -> float:
        """Scrape all targets over a new connection, and give the milliseconds that it took."""
        async with aiohttp.ClientSession() as session:
            begun = time.perf_counter()
            status, text = await Watch(self.watch.url, session).get()
            taken = 1000 * (time.perf_counter() - begun)
        assert (status, text.count("pgconn_up{")) == (200, TARGETS)
        return taken

    async def unharmed(self, *events: str) -> None:
        """Require that nothing is left of what happened, nor much said about it in the log."""
        before = (await self.watch.scrape()).all(POLLS, collector="activity")

        async def polls() -> bool:
            now = (await self.watch.scrape()).all(POLLS, collector="activity")
            return all(now[labels] > count for labels, count in before.items())

        await eventually(polls)

        async def closes() -> bool:
            return self.process.num_fds() <= self.files

        await eventually(closes)
        assert median([await self.scraped() for _ in range(9)]) < 50
        self.running.process.terminate()
        assert await self.running.process.wait() == 0
        log = (await self.running.rest()).splitlines()
        logged = {line.partition("event=")[2].partition(" target=")[0] for line in log}
        assert {line.strip('"').partition('" ')[0] for line in logged} <= {"stopped", *events}, log
        assert len(log) <= 1 + TARGETS * len(events)


def is_up(scrape: Scrape) -> bool:
    """Tell whether every target is."""
    return list(scrape.all("pgconn_up").values()) == [1] * TARGETS


def is_settled(scrape: Scrape) -> bool:
    """Tell whether each target is up, and each other read of it was there once."""
    others = ("pgconn_slots_max", "pgconn_probe_success")
    return is_up(scrape) and all(len(scrape.all(name)) == TARGETS for name in others)


@pytest.fixture
async def subject(tmp_path: Path, cluster: Cluster) -> AsyncIterator[Subject]:
    """Run a daemon with a page that is worth asking for."""
    file = tmp_path / "config.yaml"
    name = "a-server-whose-name-is-in-every-line-of-the-page" * 10
    intervals = {"activity": "500ms"} | dict.fromkeys(("settings", "databases", "statements"), "5s")
    intervals["probe"] = "10m"  # but for the first: its sessions are files that come and go
    targets = {f"{name}-{number}": cluster.dsn(user=MONITOR) for number in range(TARGETS)}
    file.write_text(config_text(targets, intervals=intervals, query_timeout="10s"))
    async with (
        daemon("--config.file", str(file)) as running,
        aiohttp.ClientSession() as session,
    ):
        watch = Watch(running.url, session)
        await watch.until(is_settled)
        for _ in range(20):
            await watch.get(**{"Accept-Encoding": "gzip"})
        pid = running.process.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        process = psutil.Process(pid)
        for _ in range(TARGETS):
            await running.logged("event=connected")
        yield Subject(running, watch, process, process.num_fds(), process.memory_info().rss)


async def test_fifty_scrapers(subject: Subject) -> None:
    """They all get whole pages, time after time."""

    async def scrape_on(session: aiohttp.ClientSession) -> None:
        watch = Watch(subject.watch.url, session)
        for _ in range(10):
            status, text = await watch.get()
            assert (status, text.count("pgconn_up{")) == (200, TARGETS)

    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(aiohttp.ClientSession()) for _ in range(50)]
        await asyncio.gather(*map(scrape_on, sessions))
    assert subject.swollen() < 50
    await subject.unharmed()


async def test_slow_readers(subject: Subject) -> None:
    """Who asks for the page and does not read it gets no more of us than the limits say."""
    with contextlib.ExitStack() as links:
        for _ in range(3 * LIMITS.connections):
            links.enter_context(contextlib.closing(subject.link(ASK, 4096)))
        assert median([await subject.scraped() for _ in range(9)]) < 50
        assert subject.process.num_fds() <= subject.files + LIMITS.connections
        assert subject.swollen() < LIMITS.unread_bytes / MEGABYTE + 30
    await subject.unharmed("too many http connections", "too many slow readers")


async def test_ten_thousand_connections(subject: Subject) -> None:
    """They come and go, in every way that there is, and no scrape fails meanwhile."""

    def drop(number: int) -> None:
        data = (b"", ASK[: number % len(ASK)], ASK)[number % 3]
        with contextlib.closing(subject.link(data)) as link:
            if number % 2:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def drop_all() -> None:
        for number in range(10_000):
            drop(number)

    dropping = asyncio.create_task(asyncio.to_thread(drop_all))
    taken = []
    while not dropping.done():
        taken.append(await subject.scraped())
    await dropping
    assert taken
    assert subject.swollen() < 50
    await subject.unharmed()


async def test_connections_that_are_held(subject: Subject, stage: Stage) -> None:
    """Silence and half requests keep neither scrapers out nor us from our servers."""
    held = [b"", ASK[:-2], b"G", b"GET /metrics HTTP/1.1\r\nX-Header: y\r\n"]
    with contextlib.ExitStack() as links:
        for data in islice(cycle(held), 5 * LIMITS.connections):
            links.enter_context(contextlib.closing(subject.link(data)))
        assert median([await subject.scraped() for _ in range(9)]) < 50
        assert subject.process.num_fds() <= subject.files + LIMITS.connections
        await stage.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'pgconn-exporter'"
        )
        lost = {"reason": "connection_lost"}
        await subject.watch.until(
            lambda s: (
                is_up(s) and sum(s.all("pgconn_poll_errors_total", **lost).values()) >= TARGETS
            )
        )
    assert subject.swollen() < 30
    await subject.unharmed(
        "too many http connections", "poll failed", "poll recovered", "connected"
    )


def garbage() -> Iterator[bytes]:
    """Give requests that are none, or that nobody in his senses makes."""
    end = b"Host: here\r\nConnection: close\r\n\r\n"
    for question in (
        b"target=" + b"x" * 8000,
        b"target=" + b"x" * 1_000_000,
        b"target=a&target=b",
        b"&" * 8000,
        b"target=%00%ff%0a",
        b"target=%zz",
        b"target=\xff\x00",
    ):
        yield b"GET /metrics?" + question + b" HTTP/1.1\r\n" + end
    for method in (b"BREW", b"TRACE", b"PATCH", b"CONNECT", b"get", b"", b"\xff"):
        yield method + b" /metrics HTTP/1.1\r\n" + end
    for place in (b"*", b"//a/../b", b"http://[::1", b"http://a:99999999/metrics", b"/%00\xff"):
        yield b"GET " + place + b" HTTP/1.1\r\n" + end
    for header in (
        b"Accept: " + b";q=,\xff" * 1000,
        b"Accept-Encoding: " + b"," * 8000,
        b"Content-Length: -1",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"Expect: nothing",
        b"Host: there",
        b"X: " + b"y" * 10_000,
        b"\r\n".join([b"X: " + b"y" * 8000] * 100),
        b"\r\n".join([b"X: y"] * 10_000),
        b"no colon",
        b"Upgrade: websocket\r\nConnection: upgrade",
    ):
        yield b"GET /sd HTTP/1.1\r\n" + header + b"\r\n" + end
    yield b'GET /sd HTTP/1.1\r\nHost: "><\xff{}\r\nConnection: close\r\n\r\n'
    yield b"POST /metrics HTTP/1.1\r\nContent-Length: 2000000\r\n" + end + b"x" * 2_000_000
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
    yield b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    chance = random.Random(4)
    for _ in range(20):
        yield chance.randbytes(1000) + b"\r\n\r\n"


async def test_garbage(subject: Subject) -> None:
    """It is answered or cut off, changes nothing, and is not worth a line in the log."""

    def throw_all() -> set[bytes]:
        heads = set()
        for data in list(garbage()) * 20:
            with contextlib.closing(subject.link(data)) as link, contextlib.suppress(OSError):
                heads.add(link.recv(1000).partition(b"\r\n")[0].partition(b" ")[2])
        return heads

    heads = await asyncio.to_thread(throw_all)
    statuses = {head[:3].decode() for head in heads if head}
    assert statuses == {"200", "400", "404", "405", "413", "417"}
    assert subject.swollen() < 30
    await subject.unharmed()
