"""Which connections are orphaned, why, and which are not."""

from dataclasses import replace

import pytest

from exporter.diagnosis.clients import Group
from exporter.diagnosis.orphans import Limits, OrphanFinder, Reason
from exporter.diagnosis.sightings import Sighting
from exporter.snapshot import Session
from tests.unit.rows import NOW, active, session, sighting

LIMITS = Limits({"api": 30.0}, {"api": 60.0}, idle_after=900.0, idle_in_transaction_after=60.0)
GROUPS = (Group("api", (), (), ("app",)),)
IN_TRANSACTION = "idle in transaction"


def seen(*rows: Session, gone: set[int] | None = None, held: set[int] | None = None) -> Sighting:
    """Look at sessions, some of whose clients seem to be gone or come from a pooler."""
    return replace(
        sighting(*rows, groups=GROUPS), gone=frozenset(gone or ()), held=frozenset(held or ())
    )


def reasons(finder: OrphanFinder, sight: Sighting) -> dict[int, Reason]:
    """Find the orphans: each connection has one reason."""
    found = finder.find(sight)
    assert len({finding.connected.session.pid for finding in found}) == len(found)
    return {finding.connected.session.pid: finding.reason for finding in found}


def at_second_look(sight: Sighting) -> dict[int, Reason]:
    """Look twice at the same."""
    finder = OrphanFinder(LIMITS)
    finder.find(sight)
    return reasons(finder, sight)


def test_a_client_that_is_gone() -> None:
    """It counts from the second look in a row on: a session may just be ending."""
    finder = OrphanFinder(LIMITS)
    dead = seen(active(1), active(2), gone={1})
    assert reasons(finder, dead) == {}
    assert reasons(finder, dead) == {1: Reason.CLIENT_GONE}
    assert reasons(finder, dead) == {1: Reason.CLIENT_GONE}
    assert reasons(finder, seen(active(1), active(2))) == {}
    assert reasons(finder, dead) == {}


def test_a_process_number_comes_again() -> None:
    """Another session with the same pid is another one."""
    finder = OrphanFinder(LIMITS)
    finder.find(seen(active(1, backend_start=NOW - 600), gone={1}))
    assert reasons(finder, seen(active(1, backend_start=NOW - 1), gone={1})) == {}


def test_a_query_that_outlived_its_client() -> None:
    """The same query, seen twice, running for longer than anybody waits for it."""
    finder = OrphanFinder(LIMITS)
    late = seen(active(1, query_start=NOW - 31), active(2, query_start=NOW - 30))
    assert reasons(finder, late) == {}
    assert reasons(finder, late) == {1: Reason.QUERY_OUTLIVED_CLIENT}
    another = seen(active(1, query_start=NOW - 30.5))
    assert reasons(finder, another) == {}
    assert reasons(finder, another) == {1: Reason.QUERY_OUTLIVED_CLIENT}


def test_only_with_a_request_timeout() -> None:
    """A client without one may wait for ever: a report, a dump, a long COPY."""
    assert at_second_look(seen(active(1, usename="ops", query_start=NOW - 9999))) == {}


@pytest.mark.parametrize("state", ["active", "fastpath function call"])
def test_states_in_which_a_query_runs(state: str) -> None:
    """A function called by the fast path is a query, too."""
    row = active(1, state=state, query_start=NOW - 99)
    assert at_second_look(seen(row)) == {1: Reason.QUERY_OUTLIVED_CLIENT}


@pytest.mark.parametrize("state", [IN_TRANSACTION, f"{IN_TRANSACTION} (aborted)"])
def test_idle_in_transaction(state: str) -> None:
    """It counts from when the transaction became idle, and at the first look."""
    rows = (
        session(1, state=state, state_change=NOW - 61, xact_start=NOW - 61),
        session(2, state=state, state_change=NOW - 60, xact_start=NOW - 999),
    )
    finder = OrphanFinder(LIMITS)
    assert reasons(finder, seen(*rows)) == {1: Reason.IDLE_IN_TRANSACTION_TOO_LONG}


def test_idle() -> None:
    """By the limit of its client's pool, else by the common one."""
    rows = (
        session(1, state_change=NOW - 61),
        session(2, state_change=NOW - 60),
        session(3, usename="ops", state_change=NOW - 901),
        session(4, usename="ops", state_change=NOW - 899),
    )
    expected = {1: Reason.IDLE_TOO_LONG, 3: Reason.IDLE_TOO_LONG}
    assert reasons(OrphanFinder(LIMITS), seen(*rows)) == expected


def test_idle_on_purpose() -> None:
    """Who listens waits; a pooler closes what it holds by its own rules; we poll when we do."""
    rows = (
        session(1, state_change=NOW - 9999, listening=True),
        session(2, state_change=NOW - 9999),
        session(3, state_change=NOW - 9999, application_name="pgconn-exporter"),
        session(4, state="disabled", state_change=None),
        session(5, state_change=None),
    )
    assert at_second_look(seen(*rows, held={2})) == {}


def test_a_pooled_transaction_may_be_left_open() -> None:
    """What a pooler holds is excused from being idle, and from nothing else."""
    rows = (
        session(1, state=IN_TRANSACTION, state_change=NOW - 61),
        active(2, query_start=NOW - 31),
    )
    assert at_second_look(seen(*rows, held={1, 2})) == {
        1: Reason.IDLE_IN_TRANSACTION_TOO_LONG,
        2: Reason.QUERY_OUTLIVED_CLIENT,
    }


def test_the_strongest_proof_is_told() -> None:
    """One connection has one reason."""
    rows = (
        active(1, query_start=NOW - 99),
        session(2, state=IN_TRANSACTION, state_change=NOW - 99),
        session(3, state_change=NOW - 999),
    )
    assert at_second_look(seen(*rows, gone={1, 2, 3})) == dict.fromkeys(
        (1, 2, 3), Reason.CLIENT_GONE
    )
    assert list(at_second_look(seen(*rows)).values()) == [
        Reason.QUERY_OUTLIVED_CLIENT,
        Reason.IDLE_IN_TRANSACTION_TOO_LONG,
        Reason.IDLE_TOO_LONG,
    ]


def test_age() -> None:
    """The age is that of the state."""
    finder = OrphanFinder(LIMITS)
    [finding] = finder.find(seen(session(1, state_change=NOW - 61.5, xact_start=NOW - 5)))
    assert finding.age == 61.5


def test_after_an_interruption_suspicion_begins_anew() -> None:
    """Two looks that do not follow each other are no proof."""
    finder = OrphanFinder(LIMITS)
    suspects = seen(active(1, query_start=NOW - 99), active(2), gone={2})
    finder.find(suspects)
    finder.interrupt()
    assert reasons(finder, suspects) == {}
    assert len(reasons(finder, suspects)) == 2
