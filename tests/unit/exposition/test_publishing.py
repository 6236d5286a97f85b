"""What is on a page: whose samples, in which order, for how long, and made anew when."""

import gzip
import math
import random
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest

from exporter.exposition import UP, Distribution, Exposition, Format, Kind, Metric, Sample
from tests.unit.pages import FORMATS, families, read, series

USED = Metric("pgconn_slots_used", Kind.GAUGE, "Slots that are used.")
OPENED = Metric("pgconn_opened_total", Kind.COUNTER, "Connections opened.", ("client",))
IDLE = Metric("pgconn_idle_seconds", Kind.GAUGE_HISTOGRAM, "Idle for so long.", ("client",))
HELD = Metric("pgconn_connections", Kind.GAUGE, "Connections.", ("client",))
BUILD = Metric("pgconn_build_info", Kind.GAUGE, "The build.", ("version",))

both_formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Make a clock."""
    return Clock()


@pytest.fixture
def exposition(clock: Clock) -> Exposition:
    """Make an exposition of two targets that say nothing yet."""
    shown = Exposition([BUILD, USED, OPENED, IDLE, HELD], clock)
    shown.watch("orders", "activity")
    shown.watch("billing", "activity")
    return shown


def used(exposition: Exposition, target: str, value: float, lifetime: float = math.inf) -> None:
    """Publish the slots in use as the activity of a target."""
    exposition.publish(target, "activity", [Sample(USED, (), value)], lifetime=lifetime)


def idle(client: str) -> Sample:
    """Make a distribution with one observation."""
    return Sample(IDLE, (client,), Distribution((1.0,), (0, 1), 2.5))


@both_formats
def test_targets_are_merged_by_metric(exposition: Exposition, form: Format) -> None:
    """Each family has one heading, and its lines stand together, whoever published them."""
    for target in ("orders", "billing"):
        exposition.publish(target, "activity", [idle("api"), Sample(USED, (), 1), idle("jobs")])
        exposition.publish(target, "churn", [Sample(OPENED, ("api",), 2)])
    lines = exposition.page(form).decode().splitlines()
    headings = Counter(line.split()[2] for line in lines if line.startswith("# TYPE"))
    assert set(headings.values()) == {1}
    assert len([line for line in lines if line.startswith("# HELP")]) == len(headings)
    names = [family.name for family in families(exposition.page(form), form)]
    assert len(names) == len(set(names))
    assert read(exposition.page(form), form).keys() >= {
        series("pgconn_opened_total", {"target": target, "client": "api"})
        for target in ("orders", "billing")
    }


def test_families_are_in_the_order_of_declaration(exposition: Exposition) -> None:
    """The page's order does not depend on who publishes first."""
    exposition.publish("orders", "held", [Sample(HELD, ("api",), 1)])
    exposition.publish("orders", "opened", [Sample(OPENED, ("api",), 1)])
    used(exposition, "billing", 1)
    page = exposition.page().decode()
    order = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert order == ["pgconn_up", "pgconn_slots_used", "pgconn_opened_total", "pgconn_connections"]


@both_formats
def test_one_target(exposition: Exposition, form: Format) -> None:
    """The page of a target has that target alone, and nothing of the exporter itself."""
    used(exposition, "orders", 3)
    used(exposition, "billing", 5)
    exposition.publish(None, "exporter", [Sample(BUILD, ("1",), 1)])
    exposition.add_live(lambda: [Sample(OPENED, ("live",), 1)])
    assert read(exposition.page(form, "orders"), form) == {
        series("pgconn_up", {"target": "orders"}): 1,
        series("pgconn_slots_used", {"target": "orders"}): 3,
    }
    everything = read(exposition.page(form), form)
    assert everything[series("pgconn_slots_used", {"target": "billing"})] == 5
    assert everything[series("pgconn_build_info", {"version": "1"})] == 1
    assert everything[series("pgconn_opened_total", {"client": "live"})] == 1


@both_formats
def test_the_exporter_alone(exposition: Exposition, form: Format) -> None:
    """Its own page has what has no target, in its newest state, and nothing of any target."""
    used(exposition, "orders", 3)
    reads = iter(range(10))
    exposition.add_live(lambda: [Sample(OPENED, ("live",), next(reads))])
    for version in ("1", "2"):
        exposition.publish(None, "exporter", [Sample(BUILD, (version,), 1)])
        assert read(exposition.page(form, own=True), form) == {
            series("pgconn_build_info", {"version": version}): 1,
            series("pgconn_opened_total", {"client": "live"}): int(version) - 1,
        }
    assert gzip.decompress(exposition.page(form, own=True, compress=True)).startswith(b"# HELP")


def test_publishing_replaces(exposition: Exposition) -> None:
    """A series that a collector does not yield any more is gone."""
    held = [Sample(HELD, (client,), 1) for client in ("api", "jobs")]
    exposition.publish("orders", "activity", held)
    exposition.publish("orders", "activity", held[1:])
    clients = [key.values for key in read(exposition.page()) if key.name == HELD.name]
    assert clients == [("jobs", "orders")]


def test_other_collectors_stay(exposition: Exposition) -> None:
    """What one collector publishes or takes back does not touch another's."""
    used(exposition, "orders", 3)
    exposition.publish("orders", "churn", [Sample(OPENED, ("api",), 2)])
    exposition.withdraw("orders", "activity")
    assert read(exposition.page(target="orders")) == {
        series("pgconn_up", {"target": "orders"}): 0,
        series("pgconn_opened_total", {"target": "orders", "client": "api"}): 2,
    }


@pytest.mark.parametrize("compress", [False, True])
def test_expiry(exposition: Exposition, clock: Clock, *, compress: bool) -> None:
    """At the end of its life a publication leaves the page, and its target is down."""
    used(exposition, "orders", 3, lifetime=10)
    used(exposition, "billing", 5, lifetime=20)

    def page() -> dict[str, float]:
        body = exposition.page(compress=compress)
        found = read(gzip.decompress(body) if compress else body)
        return {" ".join((key.name, *key.values)): value for key, value in found.items()}

    alive = {"pgconn_up orders": 1, "pgconn_slots_used orders": 3}
    others = {"pgconn_up billing": 1, "pgconn_slots_used billing": 5}
    clock.now += 9.9
    assert page() == alive | others
    clock.now += 0.1
    assert page() == {"pgconn_up orders": 0} | others
    clock.now += 10
    assert page() == {"pgconn_up orders": 0, "pgconn_up billing": 0}


def test_a_new_publication_lives_anew(exposition: Exposition, clock: Clock) -> None:
    """The life of a publication counts from when it was made."""
    used(exposition, "orders", 3, lifetime=10)
    clock.now += 9
    used(exposition, "orders", 4, lifetime=10)
    clock.now += 9
    assert exposition.is_up("orders")
    assert read(exposition.page())[series("pgconn_slots_used", {"target": "orders"})] == 4


def test_is_up(exposition: Exposition, clock: Clock) -> None:
    """A target is up by its vital collector alone, and only while that is fresh."""
    assert not exposition.is_up("orders")
    exposition.publish("orders", "churn", [Sample(OPENED, ("api",), 2)])
    assert not exposition.is_up("orders")
    used(exposition, "billing", 3)
    assert not exposition.is_up("orders")
    used(exposition, "orders", 3, lifetime=10)
    assert exposition.is_up("orders")
    exposition.withdraw("orders", "activity")
    assert not exposition.is_up("orders")
    used(exposition, "orders", 3, lifetime=10)
    clock.now += 10
    assert not exposition.is_up("orders")


def test_up_is_always_there(exposition: Exposition) -> None:
    """A target that never answered is down, not absent."""
    assert read(exposition.page()) == {
        series("pgconn_up", {"target": target}): 0 for target in ("orders", "billing")
    }


def test_forgotten_targets(exposition: Exposition) -> None:
    """Nothing stays of a target that is no longer watched, and all of the others."""
    used(exposition, "orders", 3)
    used(exposition, "billing", 5)
    exposition.page(target="orders")
    exposition.forget("orders")
    assert exposition.targets == ("billing",)
    assert b"orders" not in exposition.page() + exposition.page(target="orders")
    assert b'pgconn_slots_used{target="billing"} 5\n' in exposition.page()


@both_formats
@pytest.mark.parametrize("compress", [False, True])
def test_pages_are_made_once_a_change(
    exposition: Exposition, form: Format, *, compress: bool
) -> None:
    """Any number of scrapes get the very same bytes, until something changes."""
    pages: list[bytes] = []

    def changed() -> bool:
        pages.append(exposition.page(form, compress=compress))
        assert exposition.page(form, compress=compress) is pages[-1]
        return len(pages) < 2 or pages[-1] != pages[-2]

    assert changed()
    used(exposition, "orders", 3)
    assert changed()
    exposition.watch("third", "activity")
    assert changed()
    exposition.withdraw("orders", "activity")
    assert changed()
    exposition.withdraw("orders", "activity")  # there is nothing to take back
    assert exposition.page(form, compress=compress) is pages[-1]
    exposition.forget("third")
    assert changed()


def test_pages_of_the_past_are_not_kept(exposition: Exposition) -> None:
    """Whatever was asked for, a change lets go of all of it, also if nobody comes again."""
    pages = [exposition.page(form, "orders", compress=c) for form in Format for c in (False, True)]
    before = [sys.getrefcount(page) for page in pages]
    used(exposition, "billing", 3)
    after = [sys.getrefcount(page) for page in pages]
    assert after == [references - 1 for references in before]


def test_live_samples_are_read_for_each_changed_page(exposition: Exposition) -> None:
    """The exporter's own state is read when a page is made, not at each scrape."""
    reads = iter(range(10))
    exposition.add_live(lambda: [Sample(OPENED, ("live",), next(reads))])
    live = series("pgconn_opened_total", {"client": "live"})
    assert [read(exposition.page())[live] for _ in range(3)] == [0, 0, 0]
    used(exposition, "orders", 3)
    assert read(exposition.page())[live] == 1


@both_formats
def test_gzip_is_the_same_page(exposition: Exposition, form: Format) -> None:
    """Compressed or not, a scraper reads the same."""
    exposition.publish("orders", "held", [Sample(HELD, (f"é {n}",), n) for n in range(50)])
    plain = exposition.page(form)
    compressed = exposition.page(form, compress=True)
    assert gzip.decompress(compressed) == plain
    assert len(compressed) < len(plain)


@both_formats
def test_no_publication_is_an_empty_page(form: Format) -> None:
    """An exporter without targets serves a page that can be read."""
    assert read(Exposition([USED]).page(form), form) == {}


def test_a_publication_without_samples_is_fresh(exposition: Exposition) -> None:
    """A server without anything to tell is up all the same."""
    exposition.publish("orders", "activity", [])
    assert read(exposition.page(target="orders")) == {series(UP.name, {"target": "orders"}): 1}


def test_a_failing_collector_leaves_what_was_said(exposition: Exposition) -> None:
    """A publication is replaced as a whole or not at all."""
    used(exposition, "orders", 3)

    def broken() -> Iterator[Sample]:
        yield Sample(USED, (), 4)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        exposition.publish("orders", "activity", broken())
    assert read(exposition.page(target="orders"))[series(USED.name, {"target": "orders"})] == 3


def test_memory_does_not_grow(exposition: Exposition) -> None:
    """Labels that change with every publication leave nothing behind."""
    chance = random.Random(1)

    def poll(times: int) -> int:
        for _ in range(times):
            clients = [chance.randbytes(20).hex() for _ in range(100)]
            exposition.publish("orders", "held", [Sample(HELD, (c,), 1) for c in clients])
            exposition.page(compress=True)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = poll(3)
        assert poll(30) - before < 20_000  # the label strings of one publication alone take more
    finally:
        tracemalloc.stop()


def test_random_life(clock: Clock) -> None:
    """After any course of events the page is what a plain model of it says."""
    chance = random.Random(2)
    exposition = Exposition([USED, HELD], clock)
    watched: set[str] = set()
    model: dict[tuple[str, str], tuple[float, float]] = {}
    for _ in range(400):
        target, collector = chance.choice("abc"), chance.choice(["activity", "held"])
        match chance.randrange(6):
            case 0:
                exposition.watch(target, "activity")
                watched.add(target)
            case 1:
                exposition.forget(target)
                watched.discard(target)
                model = {key: said for key, said in model.items() if key[0] != target}
            case 2:
                exposition.withdraw(target, collector)
                model.pop((target, collector), None)
            case 3:
                clock.now += chance.uniform(0, 5)
            case _ if target in watched:
                value, lifetime = chance.random(), chance.uniform(0, 10)
                metric = USED if collector == "activity" else HELD
                sample = Sample(metric, () if metric is USED else ("x",), value)
                exposition.publish(target, collector, [sample], lifetime=lifetime)
                model[target, collector] = value, clock.now + lifetime
        fresh = {key: value for key, (value, expires) in model.items() if expires > clock.now}
        expected = {("pgconn_up", t): float((t, "activity") in fresh) for t in watched} | {
            ("pgconn_slots_used" if c == "activity" else "pgconn_connections", t): value
            for (t, c), value in fresh.items()
        }
        page = read(exposition.page())
        assert {(key.name, key.values[-1]): value for key, value in page.items()} == expected
