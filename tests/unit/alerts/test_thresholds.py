"""Thresholds: what a user may set, and what is said of what cannot be."""

import re

import pytest

from exporter.alerts.errors import AlertError
from exporter.alerts.thresholds import DEFAULTS, LOW_AND_HIGH, THRESHOLDS, UNITS, Threshold, tuned
from exporter.alerts.units import Unit, parse_number, words


def test_nothing_set() -> None:
    """Without settings all are as shipped, and those are in order."""
    assert tuned([]) == DEFAULTS


def test_some_set() -> None:
    """What is set is another, and nothing else."""
    found = tuned(["slots_high=75%", "lock_wait=2m", "slot_retained=512MiB"])
    changed = {name: value for name, value in found.items() if value != DEFAULTS[name]}
    assert changed == {"slots_high": 0.75, "lock_wait": 120, "slot_retained": 2**29}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["slots_high"], "'slots_high' is not NAME=VALUE, such as slots_high=75%"),
        (["slots_hihg=75%"], "there is no 'slots_hihg'; did you mean slots_high?"),
        (["xyz=1"], "there is no 'xyz'; there are: stale_after, stale_intervals, "),
        (["slots_high=75%", "slots_high=70%"], "slots_high is given twice"),
        (["slots_high=120%"], "slots_high: '120%' is not above 0% and at most 100%, such as 80%"),
        (["slots_high="], "slots_high: '' is not above 0%"),
        (["lock_wait=soon"], "lock_wait: 'soon' is not a duration above 0, such as 90s or 1h30m"),
        (["slots_high=95%"], "slots_high has to be below slots_critical, which is 90%"),
        (["slots_critical=60%"], "slots_high has to be below slots_critical, which is 60%"),
        (["peak_average=90%"], "peak_average has to be below peak_high, which is 90%"),
    ],
)
def test_what_cannot_be(settings: list[str], message: str) -> None:
    """What cannot be is told in one sentence that names it."""
    with pytest.raises(AlertError, match=f"^{re.escape(message)}"):
        tuned(settings)


@pytest.mark.parametrize(("low", "high"), LOW_AND_HIGH)
def test_order(low: str, high: str) -> None:
    """Two that have an order may move together, but not change places."""
    assert tuned([f"{low}=1%", f"{high}=100%"])[low] == 0.01
    for same in ("30%", "20%"):
        with pytest.raises(AlertError, match="has to be below"):
            tuned([f"{low}=30%", f"{high}={same}"])


@pytest.mark.parametrize("threshold", THRESHOLDS, ids=lambda threshold: threshold.name)
def test_table(threshold: Threshold) -> None:
    """A line of the table is one that a user could write, and says what it means."""
    written = words(threshold.default, threshold.unit)
    assert parse_number(written, UNITS[threshold.name]) == threshold.default
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", threshold.name)
    assert re.fullmatch(r"[A-Z].*\.", threshold.meaning)
    if threshold.unit is Unit.COUNT:
        assert threshold.default == int(threshold.default)
