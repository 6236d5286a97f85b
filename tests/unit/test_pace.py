"""The overhead limit, by its arithmetic."""

import pytest

from exporter.pace import Pace


def test_cheap_polls_keep_their_intervals() -> None:
    """Nothing is stretched before anything was spent, nor below the limit."""
    pace = Pace({"activity": 1.0, "settings": 60.0}, 0.01)
    assert (pace.stretch, pace.interval("activity"), pace.interval("settings")) == (1, 1, 60)
    pace.spent("activity", server=0.009, own=0.004)
    assert (pace.stretch, pace.interval("activity")) == (1, 1)


@pytest.mark.parametrize(("server", "own"), [(0.05, 0.0), (0.0, 0.05), (0.05, 0.04)])
def test_dear_polls_are_stretched(server: float, own: float) -> None:
    """The dearer of the two sides decides: 5 % of a core at a limit of 1 % is 5 times as slow."""
    pace = Pace({"activity": 1.0, "settings": 60.0}, 0.01)
    pace.spent("activity", server, own)
    assert pace.stretch == pytest.approx(5)
    assert pace.interval("activity") == pytest.approx(5)
    assert pace.interval("settings") == pytest.approx(300)


def test_all_reads_together_keep_the_limit() -> None:
    """In force, the stretched intervals cost exactly the limit."""
    intervals = {"activity": 1.0, "statements": 30.0, "settings": 60.0}
    costs = {"activity": 0.02, "statements": 0.9, "settings": 0.006}
    pace = Pace(intervals, 0.01)
    for read, seconds in costs.items():
        pace.spent(read, server=seconds, own=seconds / 2)
    assert pace.stretch == pytest.approx((0.02 + 0.03 + 0.0001) / 0.01)
    load = sum(seconds / pace.interval(read) for read, seconds in costs.items())
    assert load == pytest.approx(0.01)


def test_a_bad_moment_stretches_nothing() -> None:
    """A poll that is slow because the machine is busy with others is not dear."""
    pace = Pace({"activity": 1.0}, 0.01)
    pace.spent("activity", 0.02, 0.0)
    for slow in (0.11, 3.0, 0.5, 0.11):
        pace.spent("activity", slow, 0.0)
        assert pace.stretch == pytest.approx(2)


def test_a_dear_first_poll_is_forgotten_at_once() -> None:
    """The first poll of a connection fills the server's caches; the second tells the cost."""
    pace = Pace({"activity": 1.0}, 0.01)
    pace.spent("activity", 0.11, 0.0)
    assert pace.stretch == pytest.approx(11)
    pace.spent("activity", 0.01, 0.0)
    assert pace.stretch == pytest.approx(1)


def test_a_lasting_change_is_followed() -> None:
    """When every poll becomes dear, the intervals follow after five polls."""
    pace = Pace({"activity": 1.0}, 0.01)
    pace.spent("activity", 0.0, 0.0)
    for _ in range(5):
        pace.spent("activity", 0.04, 0.0)
    assert pace.stretch == pytest.approx(4)


def test_long_intervals_cost_less() -> None:
    """The same read costs a thirtieth when it is done every 30 s."""
    pace = Pace({"statements": 30.0}, 0.01)
    pace.spent("statements", 0.6, 0.0)
    assert pace.interval("statements") == pytest.approx(60)
