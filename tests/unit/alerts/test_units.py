"""Numbers as people write them, as PromQL takes them, and back."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerts.units import Unit, parse_number, plain, words

MILLISECONDS = st.integers(1, 10**12).map(lambda number: number / 1000)
RATIOS = st.integers(1, 10**6).map(lambda number: number / 10**6)
NUMBERS = st.integers(1, 10**12).map(lambda number: number / 10**6)


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        ("80%", Unit.RATIO, 0.8),
        ("0.8", Unit.RATIO, 0.8),
        ("100%", Unit.RATIO, 1),
        ("97.5%", Unit.RATIO, 0.975),
        ("90", Unit.SECONDS, 90),
        ("1h30m", Unit.SECONDS, 5400),
        ("500ms", Unit.SECONDS, 0.5),
        ("1.5h", Unit.SECONDS, 5400),
        (" 5m ", Unit.SECONDS, 300),
        ("512MiB", Unit.BYTES, 2**29),
        ("1.5GiB", Unit.BYTES, 1.5 * 2**30),
        ("1024", Unit.BYTES, 1024),
        ("20", Unit.PER_SECOND, 20),
        ("0.2", Unit.PER_SECOND, 0.2),
        ("3", Unit.FACTOR, 3),
        ("5", Unit.COUNT, 5),
    ],
)
def test_read(text: str, unit: Unit, number: float) -> None:
    """What people write is understood."""
    assert parse_number(text, unit) == pytest.approx(number, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "right"),
    [
        ("101%", Unit.RATIO, "above 0% and at most 100%"),
        ("80", Unit.RATIO, "above 0% and at most 100%"),
        ("0%", Unit.RATIO, "above 0% and at most 100%"),
        ("-5", Unit.COUNT, "a number above 0"),
        ("5m", Unit.COUNT, "a number above 0"),
        ("many", Unit.COUNT, "a number above 0"),
        ("nan", Unit.FACTOR, "a number above 0"),
        ("inf", Unit.PER_SECOND, "a number above 0"),
        ("1e-12", Unit.PER_SECOND, "a number above 0"),
        ("5 minutes", Unit.SECONDS, "a duration above 0"),
        ("0.1ms", Unit.SECONDS, "a duration above 0"),
        ("5M", Unit.SECONDS, "a duration above 0"),
        ("1GB", Unit.BYTES, "a size above 0"),
        ("", Unit.SECONDS, "a duration above 0"),
        ("5m%", Unit.SECONDS, "a duration above 0"),
    ],
)
def test_what_cannot_be(text: str, unit: Unit, right: str) -> None:
    """What is no number of the unit is told, with what would be."""
    with pytest.raises(ValueError, match=right):
        parse_number(text, unit)


@given(text=st.text(max_size=20), unit=st.sampled_from(Unit))
def test_any_text(text: str, unit: Unit) -> None:
    """Whatever somebody writes is a number that PromQL takes, or a ValueError."""
    with suppress(ValueError):
        number = parse_number(text, unit)
        assert number > 0
        assert float(plain(number)) == pytest.approx(number, rel=1e-6)
        assert "e" not in plain(number)


@given(seconds=MILLISECONDS)
def test_durations_in_words(seconds: float) -> None:
    """A duration in words is that duration."""
    assert parse_number(words(seconds, Unit.SECONDS), Unit.SECONDS) == pytest.approx(seconds)


@given(number=st.one_of(RATIOS, NUMBERS))
def test_plain(number: float) -> None:
    """A number as PromQL takes it is that number, as short as can be."""
    assert float(plain(number)) == pytest.approx(number, abs=1e-9)
    assert not plain(number).endswith("." if "." not in plain(number) else ("0", "."))


@given(number=RATIOS)
def test_ratios_in_words(number: float) -> None:
    """A ratio in words is that ratio."""
    assert parse_number(words(number, Unit.RATIO), Unit.RATIO) == pytest.approx(number)


@pytest.mark.parametrize(
    ("number", "unit", "written"),
    [
        (2**30, Unit.BYTES, "1GiB"),
        (1536, Unit.BYTES, "1.5KiB"),
        (512, Unit.BYTES, "512B"),
        (0.07, Unit.RATIO, "7%"),
        (86400 * 8, Unit.SECONDS, "1w1d"),
        (0, Unit.SECONDS, "0s"),
        (3, Unit.FACTOR, "3"),
        (20, Unit.PER_SECOND, "20"),
    ],
)
def test_words(number: float, unit: Unit, written: str) -> None:
    """A number is written as people do."""
    assert words(number, unit) == written
