"""What a poll costs our own process, and a scrape, by number of sessions: `make bench`.

The bounds are far above what a slow machine needs: they catch a change of the order of growth.
"""

import gc
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import pytest

from exporter.collectors import METRICS, Options
from exporter.exposition import Exposition
from exporter.reads import ACTIVITY_READ, ActivityRead
from exporter.snapshot import CLIENT_BACKEND, Activity, Session

ROUNDS = 20
NOW = 1_700_000_000.0
STATES = ("active", "idle", "idle", "idle", "idle in transaction")


def sessions(count: int) -> Iterator[Session]:
    """Make up the sessions of a busy server: fifty hosts, ten applications, four databases."""
    for number in range(count):
        state = STATES[number % len(STATES)]
        since = NOW - number % 97
        yield Session(
            pid=1000 + number,
            leader_pid=None,
            backend_type=CLIENT_BACKEND,
            datname=f"database{number % 4}",
            usename=f"role{number % 3}",
            application_name=f"application{number % 10}",
            client_addr=f"10.0.{number % 5}.{number % 50}",
            client_port=20_000 + number,
            state=state,
            wait_event_type="Client" if state != "active" else None,
            wait_event="ClientRead" if state != "active" else None,
            backend_start=NOW - 1000 - number,
            xact_start=since if state != "idle" else None,
            query_start=since,
            state_change=since,
            wait_start=None,
            read_start=NOW - 0.01,
            seen_at=NOW,
        )


def milliseconds(work: Callable[[], object]) -> float:
    """Measure the median of some rounds."""
    times = []
    gc.collect()
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return 1000 * median(times)


@pytest.mark.parametrize("count", [100, 1000, 5000])
def test_poll_and_scrape(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A poll grows with the sessions; a scrape between two polls costs next to nothing."""
    activity = Activity(tuple(sessions(count)), own_pid=1)
    read = ActivityRead(Options())
    exposition = Exposition(METRICS)
    exposition.watch("server", ACTIVITY_READ)

    def poll() -> None:
        exposition.publish("server", ACTIVITY_READ, read.collect(activity), max_series=1000)

    def scrape() -> bytes:
        return exposition.page(compress=True)

    def scrape_after_poll() -> float:
        poll()
        start = perf_counter()
        scrape()
        return 1000 * (perf_counter() - start)

    polled = milliseconds(poll)
    first = median(scrape_after_poll() for _ in range(ROUNDS))
    again = milliseconds(scrape)
    series = sum(not line.startswith(b"#") for line in exposition.page().splitlines())
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what the benchmark is for
            f"\n{count:6} sessions, {series:5} series: poll {polled:7.2f} ms,"
            f" first scrape after it {first:6.2f} ms, next {again:6.4f} ms"
        )
    assert polled < 0.1 * count + 20
    assert first < 0.01 * series + 10
    assert again < 1
