"""What is told of our own polls and probes."""

import pytest

from exporter.collectors import Options
from exporter.collectors.polling import PollRecord
from exporter.collectors.probe import BOUNDS, Probe
from exporter.exposition import Distribution
from exporter.snapshot import ProbeResult
from tests.unit.rows import NOW, told


def test_nothing_was_polled() -> None:
    """Before the first poll there is nothing to tell."""
    assert told(PollRecord().samples()) == {}


def test_polls() -> None:
    """Polls are counted and timed by collector, errors by reason."""
    record = PollRecord()
    record.polled("activity", 0.25)
    record.polled("activity", 0.5)
    record.polled("probe", 2)
    record.errors["activity", "timeout"] += 1
    record.errors["activity", "refused"] += 2
    record.last_success["probe"] = NOW
    record.intervals = {"activity": 1.5}
    assert told(record.samples()) == {
        ("pgconn_poll_errors_total", "activity", "timeout"): 1,
        ("pgconn_poll_errors_total", "activity", "refused"): 2,
        ("pgconn_poll_duration_seconds", "activity"): Distribution((), (2,), 0.75),
        ("pgconn_poll_duration_seconds", "probe"): Distribution((), (1,), 2),
        ("pgconn_poll_last_success_timestamp_seconds", "probe"): NOW,
        ("pgconn_poll_interval_seconds", "activity"): 1.5,
    }


def probe(*results: ProbeResult) -> dict[tuple[str, ...], float | Distribution]:
    """Give what is told after the last of some probes."""
    collector, found = Probe(Options()), dict[tuple[str, ...], float | Distribution]()
    for result in results:
        found = told(collector.collect(result))
    return found


def refused(sqlstate: str, at: float = NOW) -> ProbeResult:
    """Make a probe that was turned away."""
    return ProbeResult(success=False, at=at, seconds=9, sqlstate=sqlstate)


def test_probes() -> None:
    """The last result is told, and all of them are counted; a refusal has no duration."""
    accepted = ProbeResult(success=True, at=NOW, seconds=0.004)
    results = [accepted, refused("53300"), refused(""), refused("53300"), accepted]
    counts = tuple(2 if bound == 0.005 else 0 for bound in BOUNDS)
    assert probe(*results) == {
        ("pgconn_probe_success",): 1,
        ("pgconn_probe_duration_seconds",): Distribution(BOUNDS, (*counts, 0), 0.008),
        ("pgconn_probe_failures_total", "53300"): 2,
        ("pgconn_probe_failures_total", ""): 1,
    }
    assert probe(*results[:4])["pgconn_probe_success",] == 0


def test_the_first_refusal_can_be_seen() -> None:
    """Being out of slots is counted from zero on, so that its first rise is one."""
    first = probe(ProbeResult(success=True, at=NOW, seconds=0.004))
    assert first["pgconn_probe_failures_total", "53300"] == 0


def test_since_when_probes_fail() -> None:
    """The first failure in a row counts, whatever its reason; a success ends the row."""
    row = [refused("53300", NOW), refused("", NOW + 15), refused("53300", NOW + 30)]
    since = "pgconn_probe_failing_since_timestamp_seconds"
    accepted = ProbeResult(success=True, at=NOW + 45, seconds=0.004)
    assert probe(*row)[since,] == NOW
    assert (since,) not in probe(*row, accepted)
    assert probe(*row, accepted, refused("53300", NOW + 60))[since,] == NOW + 60


@pytest.mark.parametrize(("seconds", "bucket"), [(0.001, 0), (0.0011, 1), (5, 11), (5.1, 12)])
def test_durations(seconds: float, bucket: int) -> None:
    """An upper bound belongs to its bucket."""
    found = probe(ProbeResult(success=True, at=NOW, seconds=seconds))[
        "pgconn_probe_duration_seconds",
    ]
    assert isinstance(found, Distribution)
    assert found.counts.index(1) == bucket
    assert found.count == 1
