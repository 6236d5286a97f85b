"""The series limit: what is kept, what becomes `other`, and which sums stay true."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pytest

from exporter.exposition import (
    OTHER,
    SERIES_FOLDED,
    Distribution,
    Exposition,
    Fold,
    Kind,
    Metric,
    Sample,
)
from exporter.exposition.folding import FoldedCounter, fold, limited
from tests.unit.pages import published, read, series

LABELS = ("client", "usename", "datname", "state")
OPEN = frozenset({"usename", "datname"})


def metric(how: Fold) -> Metric:
    """Declare a metric with open and closed labels."""
    return Metric("pgconn_connections", Kind.GAUGE, "Connections.", LABELS, how, OPEN)


SUM, MAX, DROP = metric(Fold.SUM), metric(Fold.MAX), metric(Fold.DROP)

every_way = pytest.mark.parametrize("how", [SUM, MAX, DROP], ids=lambda metric: metric.fold.name)

Values = dict[tuple[str, ...], float]


def cases(count: int = 200) -> Iterator[tuple[Values, int]]:
    """Make up series, few or many of each client and state, and a limit for them."""
    chance = random.Random(1)
    for _ in range(count):
        series_count = chance.randint(1, 40)
        yield (
            {
                (
                    chance.choice(["api", "jobs"]),
                    chance.choice(["ann", "bob", "eve", OTHER]),
                    chance.choice(["shop", "bank", OTHER]),
                    chance.choice(["idle", "active"]),
                ): chance.randint(0, 50)
                for _ in range(series_count)
            },
            chance.randint(1, 40),
        )


def folded(how: Metric, given: Values, limit: int) -> tuple[Values, int]:
    """Fold, and give the values by labels, each of which may stand there once."""
    samples = [Sample(how, key, value) for key, value in given.items()]
    kept, count = fold(how, samples, limit)
    found: Values = {}
    for sample in kept:
        assert not isinstance(sample.value, Distribution)
        assert sample.labels not in found
        found[sample.labels] = sample.value
    return found, count


def closed(key: Sequence[str]) -> tuple[str, str]:
    """Give the values of the closed labels."""
    return key[0], key[3]


def by_closed(found: Values) -> dict[tuple[str, str], list[float]]:
    """Give the values for each set of closed labels."""
    groups: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for key, value in found.items():
        groups[closed(key)].append(value)
    return groups


def is_other(key: Sequence[str]) -> bool:
    """Tell whether a series is one that others are folded into."""
    return key[1] == key[2] == OTHER


@every_way
def test_within_the_limit(how: Metric) -> None:
    """Nothing is touched that fits."""
    samples = [Sample(how, ("api", str(n), "shop", "idle"), n) for n in range(10)]
    assert fold(how, samples, 10) == (samples, 0)
    _, count = fold(how, samples, 9)
    assert count > 0


def test_the_largest_stay() -> None:
    """The smallest series of each closed set are summed up, for all of the open labels."""
    assert folded(
        SUM,
        {
            ("api", "ann", "shop", "idle"): 9,
            ("api", "bob", "shop", "idle"): 2,
            ("api", "eve", "bank", "idle"): 3,
            ("jobs", "ann", "shop", "idle"): 7,
        },
        3,
    ) == (
        {
            ("api", "ann", "shop", "idle"): 9,
            ("api", "other", "other", "idle"): 5,
            ("jobs", "other", "other", "idle"): 7,
        },
        3,
    )


def test_drop_uses_the_whole_limit() -> None:
    """Where nothing can be folded together, the largest are kept and the others counted."""
    ages: Values = {("api", str(n), "shop", "idle"): n for n in range(10)}
    assert folded(DROP, ages, 4) == ({key: n for key, n in ages.items() if n >= 6}, 6)


def test_sums_stay_true() -> None:
    """For every client and state, the sum is what it was."""
    for given, limit in cases():
        found, _ = folded(SUM, given, limit)
        sums = {key: sum(group) for key, group in by_closed(given).items()}
        assert {key: sum(group) for key, group in by_closed(found).items()} == sums


def test_maxima_stay_true() -> None:
    """For every client and state, the maximum is what it was."""
    for given, limit in cases():
        found, _ = folded(MAX, given, limit)
        maxima = {key: max(group) for key, group in by_closed(given).items()}
        assert {key: max(group) for key, group in by_closed(found).items()} == maxima


@every_way
def test_the_limit_holds(how: Metric) -> None:
    """No more series than allowed, unless there are more sets of closed labels than that."""
    for given, limit in cases():
        found, _ = folded(how, given, limit)
        assert len(found) <= (limit if how is DROP else max(limit, len(by_closed(given))))


@every_way
def test_what_is_kept_is_what_was_given(how: Metric) -> None:
    """A series that is not `other` has its own value, and is none of the smaller ones."""
    for given, limit in cases():
        found, count = folded(how, given, limit)
        kept = {key: value for key, value in found.items() if how is DROP or not is_other(key)}
        assert kept.items() <= given.items()
        missing = [value for key, value in given.items() if key not in found]
        assert all(value >= max(missing, default=0) for value in kept.values())
        assert len(missing) <= count <= len(given) - len(kept)


@every_way
def test_the_order_does_not_matter(how: Metric) -> None:
    """The same series are kept whatever the order of the rows, so that graphs have no holes."""
    chance = random.Random(2)
    for given, limit in cases():
        shuffled = list(given.items())
        chance.shuffle(shuffled)
        assert folded(how, given, limit) == folded(how, dict(shuffled), limit)


def test_folding_is_stable() -> None:
    """What was folded fits, so it is not folded any further."""
    for given, limit in cases():
        enough = max(limit, len(by_closed(given)))
        found, _ = folded(SUM, given, enough)
        assert folded(SUM, found, enough) == (found, 0)


def test_one_that_is_called_other() -> None:
    """A role and a database called `other` are added to what is folded, not overwritten."""
    found, count = folded(
        SUM,
        {
            ("api", OTHER, OTHER, "idle"): 100,
            ("api", "ann", "shop", "idle"): 3,
            ("api", "bob", "shop", "idle"): 2,
            ("api", "eve", "shop", "idle"): 1,
        },
        3,
    )
    assert found == {("api", OTHER, OTHER, "idle"): 103, ("api", "ann", "shop", "idle"): 3}
    assert count == 2


def test_closed_labels_alone_are_never_folded() -> None:
    """A metric whose labels we choose ourselves keeps all of its series."""
    own = Metric("pgconn_client_connections", Kind.GAUGE, "Connections.", ("client",))
    samples = [Sample(own, (str(n),), n) for n in range(10)]
    assert fold(own, samples, 1) == (samples, 0)


def names(samples: Iterable[Sample]) -> dict[tuple[str, ...], float | Distribution]:
    """Give the values of samples by their labels."""
    return {sample.labels: sample.value for sample in samples}


def test_what_was_folded_is_told() -> None:
    """Each metric over the limit says how many series it folded, and the others nothing."""
    age = Metric("pgconn_age_seconds", Kind.GAUGE, "Age.", LABELS, Fold.MAX, OPEN)
    few = Metric("pgconn_few", Kind.GAUGE, "Few.", LABELS, Fold.SUM, OPEN)
    many = [("api", f"user {n}", "shop", "idle") for n in range(10)]
    found = limited(
        {
            SUM: [Sample(SUM, key, 1) for key in many],
            age: [Sample(age, key, 1) for key in many[:6]],
            few: [Sample(few, key, 1) for key in many[:5]],
        },
        5,
    )
    assert {m.name: len(samples) for m, samples in found.items()} == {
        "pgconn_connections": 5,
        "pgconn_age_seconds": 5,
        "pgconn_few": 5,
        "pgconn_series_folded": 2,
    }
    assert names(found[SERIES_FOLDED]) == {("pgconn_connections",): 6, ("pgconn_age_seconds",): 2}
    assert SERIES_FOLDED not in limited({few: [Sample(few, many[0], 1)]}, 5)


def test_the_page_says_what_was_folded() -> None:
    """A publication over its limit is told on the page of its target."""
    many = [Sample(SUM, ("api", f"user {n}", "shop", "idle"), 1) for n in range(10)]
    page = read(published(*many, max_series=5).page())
    folded_key = {"target": "orders", "metric": "pgconn_connections"}
    assert page[series("pgconn_series_folded", folded_key)] == 6
    others = {"client": "api", "usename": OTHER, "datname": OTHER, "state": "idle"}
    assert page[series("pgconn_connections", {"target": "orders", **others})] == 6
    assert len(page) == 6


COUNTED = Metric("pgconn_sessions_total", Kind.COUNTER, "Sessions.", LABELS, Fold.SUM, OPEN)


def key_of(database: str) -> tuple[str, ...]:
    """Give the labels of a database's counter."""
    return "api", "ann", database, "idle"


OTHERS = ("api", OTHER, OTHER, "idle")


class Publications:
    """A counter that is published again and again."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.counters: dict[Metric, FoldedCounter] = {}

    def tell(self, **databases: float) -> dict[str, float]:
        """Publish the sessions of databases, and give what is shown by database."""
        samples = [
            Sample(COUNTED, OTHERS if name == OTHER else key_of(name), value)
            for name, value in databases.items()
        ]
        shown = limited({COUNTED: samples}, self.limit, self.counters)[COUNTED]
        return {labels[2]: float(str(value)) for _, labels, value in shown}


def test_a_folded_counter_does_not_fall() -> None:
    """Who overtakes another, is dropped, or comes back, takes nothing out of what is folded."""
    told = Publications(2)
    assert told.tell(a=10, b=5, c=4, d=1) == {"a": 10, OTHER: 10}
    # The largest is another one now, but the one that was shown stays.
    assert told.tell(a=10, b=5, c=24, d=1) == {"a": 10, OTHER: 30}
    assert told.tell(a=11, b=6, c=24) == {"a": 11, OTHER: 31}
    assert told.tell(b=6, c=25, d=0) == {"c": 25, OTHER: 31}
    assert told.tell(a=3, c=25, d=0, b=7) == {"c": 25, OTHER: 35}


def test_a_folded_counter_that_begins_anew() -> None:
    """After a reset of the server's statistics a member counts from zero again."""
    told = Publications(2)
    assert told.tell(a=10, b=5, c=4)[OTHER] == 9
    assert told.tell(a=0, b=2, c=0)[OTHER] == 11


def test_a_counter_that_fits_again() -> None:
    """When there are few enough, each is shown, and folding goes on later where it was."""
    told = Publications(2)
    assert told.tell(a=10, b=5, c=4) == {"a": 10, OTHER: 9}
    assert told.tell(a=10, b=7) == {"a": 10, "b": 7}
    assert told.tell(a=10, b=8, c=1) == {"a": 10, OTHER: 11}


def test_no_folded_counter_ever_falls() -> None:
    """Whatever comes and goes: no series falls but with its own database, the limit holds."""
    chance = random.Random(3)
    for _ in range(50):
        told, values = Publications(chance.randint(2, 8)), dict[str, float]()
        shown = dict[str, float]()
        grown = 0.0
        for _ in range(40):
            for name in "abcdefghij":
                if chance.random() < 0.1:
                    values.pop(name, None)
                elif name in values or chance.random() < 0.5:
                    more = chance.randint(0, 5)
                    grown += more
                    values[name] = values.get(name, 0) + more
            before, shown = shown, told.tell(**values)
            assert len(shown) <= max(told.limit, 1)
            assert shown.get(OTHER, 0) >= before.get(OTHER, 0) or OTHER not in shown
            assert shown.get(OTHER, 0) <= grown
            assert all(value == values[name] for name, value in shown.items() if name != OTHER)


def test_a_database_that_is_called_other() -> None:
    """It is folded with the others, not shown beside them."""
    told = Publications(2)
    assert told.tell(**{OTHER: 50}, a=3, b=2) == {"a": 3, OTHER: 52}
    assert told.tell(**{OTHER: 51}, a=3, b=2) == {"a": 3, OTHER: 53}


def test_a_target_that_is_down_for_a_while() -> None:
    """What is folded goes on where it was when the series come back."""
    exposition = Exposition([COUNTED])
    exposition.watch("orders", "collector")
    exposition.publish("orders", "collector", counts(4, 3, 2), max_series=2)
    exposition.withdraw("orders", "collector")
    exposition.publish("orders", "collector", counts(4, 3), max_series=2)
    exposition.publish("orders", "collector", counts(4, 3, 2), max_series=2)
    page = read(exposition.page())
    folded_key = dict(zip(LABELS, OTHERS, strict=True)) | {"target": "orders"}
    assert page[series("pgconn_sessions_total", folded_key)] == 7


def counts(*values: float) -> list[Sample]:
    """Make the counters of some databases, which are called by their place."""
    return [Sample(COUNTED, key_of(f"db{n}"), value) for n, value in enumerate(values)]


def test_what_is_said_of_the_server_stays() -> None:
    """A thousand roles with timeouts of their own do not push the server's own off the page."""
    labels = ("setting", "datname", "usename")
    timeout = Metric("pgconn_timeout_seconds", Kind.GAUGE, "T.", labels, Fold.DROP, OPEN)
    given = [Sample(timeout, ("lock_timeout", "", f"role {n}"), 1000 + n) for n in range(50)]
    given += [Sample(timeout, (setting, "", ""), 0) for setting in ("a", "b")]
    kept, count = fold(timeout, given, 10)
    assert count == 42
    assert [sample.labels for sample in kept[:2]] == [("a", "", ""), ("b", "", "")]
