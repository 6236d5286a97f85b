"""Where our own time goes, from rows to bytes: processor time of each step, in one thread.

    python -m tests.benchmarks.rendering [--quick] [--profile]

The rows are made up; decoding what the server sends is not part of it.
"""

import cProfile
import gzip
import pstats
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from exporter.collectors import ACTIVITY, METRICS, Options
from exporter.diagnosis.clients import Clients, Group
from exporter.diagnosis.sightings import Observer
from exporter.exposition import Exposition, Metric, Sample
from exporter.exposition.folding import limited
from exporter.exposition.rendering import Renderer
from exporter.reads import ACTIVITY_READ
from exporter.reads.postgresql import ActivityRead
from exporter.snapshot import CLIENT_BACKEND, Activity, Session
from tests.benchmarks.harness import machine, milliseconds, options, show, tell

NOW = 1_700_000_000.0
STATES = (*["idle"] * 18, "active", "idle in transaction")
MAX_SERIES = 1000  # the default of `max_series`

GROUPS = (
    Group("web", application_name=("gunicorn*",)),
    Group("batch", application_name=("celery*", "cron*")),
    Group("people", usename=("dba_*",)),
)


def sessions(count: int) -> Iterator[Session]:
    """Make up the sessions of a busy server: each has a client, in a hundred places."""
    for number in range(count):
        state = STATES[number % len(STATES)]
        waits = number % 100 == 18  # some of the active ones
        since = NOW - number % 97
        yield Session(
            pid=1000 + number,
            leader_pid=None,
            backend_type=CLIENT_BACKEND,
            datname=f"database{number % 3}",
            usename=f"role{number % 4}",
            application_name=f"{('gunicorn', 'celery', 'other')[number % 3]}: {number % 100}",
            client_addr=f"10.0.{number % 5}.{number % 50}",
            client_port=20_000 + number,
            state=state,
            wait_event_type="Lock" if waits else "Client" if state != "active" else None,
            wait_event="tuple" if waits else "ClientRead" if state != "active" else None,
            backend_start=NOW - 1000 - number,
            xact_start=since if state != "idle" else None,
            query_start=since,
            state_change=since,
            listening=False,
            wait_start=since if waits else None,
            lock_wait="(tuple)" if waits else None,
            lock_mode="ExclusiveLock" if waits else None,
            blockers=[1] if number == 18 else None,
            read_start=NOW - 0.01,
            seen_at=NOW,
        )


def grouped(samples: Iterable[Sample]) -> dict[Metric, list[Sample]]:
    """Group samples by metric, as publishing does."""
    groups: dict[Metric, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.metric, []).append(sample)
    return groups


def decoded(activity: Activity) -> list[Session]:
    """Make rows of plain tuples, as the connection does."""
    return [Session._make(row) for row in activity.sessions]


class Bench:
    """The steps of one poll and one scrape on the same sessions, each by itself."""

    def __init__(self, count: int) -> None:
        self.options = Options(groups=GROUPS)
        self.activity = Activity(tuple(sessions(count)), own_pid=1)
        self.observer = Observer(Clients(GROUPS), self.options.connection_labels)
        self.sighting = self.observer.observe(self.activity)
        self.collectors = [collector(self.options) for collector in ACTIVITY]
        collected = chain.from_iterable(c.collect(self.sighting) for c in self.collectors)
        self.groups = grouped(collected)
        self.limited = limited(self.groups, MAX_SERIES)
        first = Renderer("main", {})
        first.lines(self.limited)
        self.heads = first.heads
        self.read = ActivityRead(self.options, ())
        self.exposition = Exposition(METRICS)
        self.exposition.watch("main", ACTIVITY_READ)
        self.poll()
        self.page = self.exposition.page()

    @property
    def series(self) -> int:
        """Count the series of the page."""
        return sum(not line.startswith(b"#") for line in self.page.splitlines())

    def poll(self) -> None:
        """Do what the poller does with a snapshot."""
        samples = self.read.collect(self.activity)
        self.exposition.publish("main", ACTIVITY_READ, samples, max_series=MAX_SERIES)

    def scrape(self, *, compress: bool = True) -> bytes:
        """Make the page anew, as the first scrape after a poll does."""
        self.exposition.publish(None, "exporter", ())
        return self.exposition.page(compress=compress)

    def steps(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Yield each step with what does it."""
        yield "make rows", lambda: decoded(self.activity)
        yield "observe: name clients", lambda: self.observer.observe(self.activity)
        for collector in self.collectors:
            yield f"  {type(collector).__name__}", self._collecting(collector)
        yield "group by metric", lambda: grouped(chain.from_iterable(self.groups.values()))
        yield "limit series", lambda: limited(self.groups, MAX_SERIES)
        yield "render, labels known", lambda: Renderer("main", self.heads).lines(self.limited)
        yield "render, labels new", lambda: Renderer("main", {}).lines(self.limited)
        yield "poll: from rows to lines", self.poll
        yield "make the page", lambda: self.scrape(compress=False)
        yield "make the page, compressed", self.scrape
        yield "the same page again", lambda: self.exposition.page(compress=True)
        yield "(compress it as a whole, level 1)", lambda: gzip.compress(self.page, 1)
        yield "(compress it as a whole, level 6)", lambda: gzip.compress(self.page, 6)

    def _collecting(self, collector: object) -> Callable[[], object]:
        return lambda: list(collector.collect(self.sighting))  # type: ignore[attr-defined]


def measure(sizes: Sequence[int], rounds: int) -> None:
    """Print the time of each step by number of sessions."""
    benches = [Bench(size) for size in sizes]
    times = [[milliseconds(work, rounds) for _, work in bench.steps()] for bench in benches]
    names = [name for name, _ in benches[0].steps()]
    for bench in benches:
        pages = [bench.page, bench.scrape(), *(gzip.compress(bench.page, n) for n in (1, 6))]
        plain, ours, fast, small = (f"{len(page) / 1000:.0f} kB" for page in pages)
        tell(
            f"{len(bench.activity.sessions)} sessions: {bench.series} series, {plain};"
            f" compressed {ours} (as a whole: {fast} at level 1, {small} at level 6)"
        )
    rows = [
        (name, *(f"{column[number]:.3f}" for column in times)) for number, name in enumerate(names)
    ]
    columns = ("ms of processor time, median", *(f"{size} sessions" for size in sizes))
    show("From rows to bytes", columns, rows)


def profile(count: int, rounds: int) -> None:
    """Print the fifteen functions in which most of a poll's time is spent."""
    bench = Bench(count)
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(rounds):
        bench.poll()
        bench.scrape()
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(15)


def main() -> None:
    """Measure, and print."""
    parser = options(__doc__)
    parser.add_argument("--profile", action="store_true", help="profile 1000 sessions instead")
    arguments = parser.parse_args()
    rounds = 20 if arguments.quick else 60
    if arguments.profile:
        profile(1000, rounds)
        return
    tell(machine())
    measure((1000, 5000), rounds)


if __name__ == "__main__":
    main()
