"""Sampled load, over several polls."""

import pytest

from exporter.collectors import Options
from exporter.collectors.load import Load
from exporter.exposition import Distribution
from exporter.snapshot import Session
from tests.unit.rows import NOW, active, session, sighting, told, waiting

Seconds = dict[tuple[str, ...], float | Distribution]


class Polls:
    """A collector that is shown one poll after the other."""

    def __init__(self, max_series: int = 1000) -> None:
        self.load = Load(Options(max_series=max_series))

    def see(self, at: float, *rows: Session) -> Seconds:
        """Give the session seconds by client, state and wait event."""
        found = told(self.load.collect(sighting(*rows, now=NOW + at)))
        assert {key[0] for key in found} <= {"pgconn_session_seconds_total"}
        return {key[1:]: value for key, value in found.items()}


CPU = ("other", "active", "", "")
LOCK = ("other", "active", "Lock", "transactionid")


def test_session_seconds() -> None:
    """Each session counts the time since the last poll, in what it was seen doing now."""
    polls = Polls()
    rows = (active(1), active(2), waiting(3))
    assert polls.see(0, *rows) == {CPU: 0, LOCK: 0}
    assert polls.see(1, *rows) == {CPU: 2, LOCK: 1}
    assert polls.see(1.5, active(3)) == {CPU: 2.5, LOCK: 1}
    assert polls.see(2.5) == {CPU: 2.5, LOCK: 1}


def test_a_late_poll_counts_the_whole_time() -> None:
    """The time is what passed on the server's clock, not the configured interval."""
    polls = Polls()
    polls.see(0, active(1))
    assert polls.see(12.25, active(1)) == {CPU: 12.25}


def test_what_happened_meanwhile_is_not_known() -> None:
    """After a failed poll the time until the next one is not counted."""
    polls = Polls()
    polls.see(0, active(1))
    polls.see(1, active(1))
    polls.load.interrupt()
    assert polls.see(60, active(1)) == {CPU: 1}
    assert polls.see(61, active(1)) == {CPU: 2}


def test_a_clock_that_is_set_back() -> None:
    """A counter never falls."""
    polls = Polls()
    polls.see(0, active(1))
    polls.see(5, active(1))
    assert polls.see(-100, active(1)) == {CPU: 5}
    assert polls.see(-99, active(1)) == {CPU: 6}


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("active", True),
        ("fastpath function call", True),
        ("idle in transaction", True),
        ("idle in transaction (aborted)", True),
        ("idle", False),
        ("disabled", False),
        (None, False),
    ],
)
def test_which_states_count(state: str | None, *, counts: bool) -> None:
    """Who is idle works for nobody; of who is disabled nobody knows."""
    polls = Polls()
    row = session(1, state=state, wait_event_type=None, wait_event=None)
    polls.see(0, row)
    assert polls.see(2, row) == ({("other", state, "", ""): 2} if counts else {})


def test_wait_events_without_end() -> None:
    """An extension may name as many as it likes: those beyond the limit count as `other`."""
    polls = Polls(max_series=3)
    shown: Seconds = {}
    for number in range(20):
        event = f"{number:02}"
        shown = polls.see(number, active(1, wait_event_type="Extension", wait_event=event))
    extension = ("other", "active", "Extension")
    assert shown == {
        (*extension, "00"): 0,
        (*extension, "01"): 1,
        (*extension, "02"): 1,
        (*extension, "other"): 17,
    }
    assert (
        polls.see(20, active(1, wait_event_type="Extension", wait_event="01"))[*extension, "01"]
        == 2
    )
