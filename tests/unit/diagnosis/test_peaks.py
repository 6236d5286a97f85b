"""Peaks, against a model that looks at every value."""

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.diagnosis.peaks import Peak

steps = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.0, 60.0]), st.integers(0, 5)), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(steps, st.sampled_from([0.5, 3.0, 60.0]))
def test_peaks(steps: list[tuple[float, int]], window: float) -> None:
    """The peak is the highest of the values that are younger than the window."""
    peak, seen, now = Peak(window), list[tuple[float, int]](), 1e9
    for pause, value in steps:
        now += pause
        seen.append((now, value))
        assert peak.add(now, value) == max(v for at, v in seen if at > now - window)


def test_the_edge_of_the_window() -> None:
    """A value that is exactly as old as the window is outside."""
    peak = Peak(60)
    assert peak.add(100, 9) == 9
    assert peak.add(159.9, 1) == 9
    assert peak.add(160, 1) == 1


def test_a_clock_that_is_behind() -> None:
    """The peak of a server whose clock was ahead does not stay for as long as it was."""
    peak = Peak(60)
    assert peak.add(1000, 9) == 9
    assert peak.add(4600, 7) == 7
    assert peak.add(4610, 5) == 7
    assert peak.add(1010, 1) == 1
    assert peak.add(1020, 0) == 1
