"""What the soak takes for growth, and what it lets pass."""

from dataclasses import replace

import pytest

from tests.soak.gauges import Gauges, at_rest
from tests.soak.judging import TITLES, Growth, Polls, growths, tenths

QUIET = Gauges(
    used=75.0, rss=80.0, blocks=300.0, descriptors=15, tasks=3, threads=1, sessions=6, series=900
)


def grown(start: Gauges, end: Gauges) -> list[str]:
    """Give what has grown by more than it may."""
    return [growth.name for growth in growths(start, end) if not growth.good]


def test_nothing_has_grown() -> None:
    """The same twice is good, and less is, too."""
    assert grown(QUIET, QUIET) == []
    assert grown(QUIET, replace(QUIET, rss=70.0, series=850)) == []


@pytest.mark.parametrize("name", ["descriptors", "tasks", "threads", "sessions"])
def test_what_is_counted_must_not_grow_at_all(name: str) -> None:
    """One task more than before is a leak, since at rest there is no reason for it."""
    end = replace(QUIET, **{name: getattr(QUIET, name) + 1})
    assert grown(QUIET, end) == [TITLES[name]]


@pytest.mark.parametrize("name", ["used", "rss", "blocks", "series"])
def test_what_is_elastic_may_grow_by_a_twentieth(name: str) -> None:
    """Memory is handed out in large pieces."""
    start = getattr(QUIET, name)
    assert grown(QUIET, replace(QUIET, **{name: 1.049 * start})) == []
    assert grown(QUIET, replace(QUIET, **{name: 1.051 * start})) == [TITLES[name]]


def test_another_share_may_be_allowed() -> None:
    """A short run lets RSS grow more, and nothing else."""
    end = replace(QUIET, used=80.0, rss=90.0)
    names = [growth.name for growth in growths(QUIET, end, rss=0.15) if not growth.good]
    assert names == [TITLES["used"]]


def test_a_row_tells_what_has_grown() -> None:
    """A person sees at once which it was; growth from nothing has no percentage."""
    assert Growth("tasks", 2, 3).row() == ("tasks", "2", "3", "+50.0 %", "0 %", "GROWN")
    assert Growth("tasks", 0, 1).row() == ("tasks", "0", "1", "", "0 %", "GROWN")
    assert Growth("RSS, MB", 80, 81, 0.05).row()[-1] == "good"


def test_at_rest_is_what_is_always_there() -> None:
    """A poll that happened to be under way at one look does not count."""
    busy = replace(QUIET, tasks=9, descriptors=20, sessions=8, rss=90.0)
    assert at_rest([QUIET, busy, QUIET]) == QUIET


def test_missed_polls() -> None:
    """Of a thousand polls, fifty may be missed; more polls than expected are no news."""
    assert Polls("steady", 950, 1000).good
    assert not Polls("steady", 949, 1000).good
    assert Polls("steady", 1001, 1000).missed == 0
    assert Polls("steady", 900, 1000).row()[1:5] == ("1000", "900", "100", "10.00 %")


def test_a_starved_exporter_may_miss_more() -> None:
    """Who has no processor for a tenth of the time can't be asked for the polls of that time."""
    assert Polls("steady", 850, 1000, starved=0.1).good
    assert not Polls("steady", 849, 1000, starved=0.1).good


def test_tenths_of_a_run() -> None:
    """Each is the median of its part; a run that is too short has fewer."""
    assert tenths([float(n // 3) for n in range(30)]) == [float(n) for n in range(10)]
    assert tenths([1.0, 2.0]) == [1.0, 2.0]
    assert tenths([]) == []
