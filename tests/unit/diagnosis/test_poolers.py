"""What a PgBouncer's list of connections proves about PostgreSQL's sessions."""

from exporter.diagnosis.poolers import Pooler, Verdict
from exporter.snapshot import Session
from exporter.snapshot.pgbouncer import ServerRow
from tests.unit.rows import NOW, active, session

NOTHING = Verdict(frozenset(), frozenset())


def listed(*pids: int) -> list[ServerRow]:
    """Make connections as PgBouncer lists them, each from a port of its own."""
    return [ServerRow(pid, 50_000 + pid, local=False) for pid in pids]


def sessions(*pids: int) -> list[Session]:
    """Make the same connections as PostgreSQL has them."""
    return [active(pid, client_port=50_000 + pid) for pid in pids]


def verdict(held: set[int], left: set[int]) -> Verdict:
    """Make a verdict."""
    return Verdict(frozenset(held), frozenset(left))


def test_what_it_lists_it_holds() -> None:
    """Others did not come through it, as far as it says."""
    pooler = Pooler()
    pooler.tell(listed(1, 2))
    assert pooler.judge([*sessions(1, 2), session(3)]) == verdict({1, 2}, set())


def test_before_it_was_asked_it_may_hold_all() -> None:
    """When we start, the server may be read first; a pooler that does not answer holds nobody."""
    pooler = Pooler()
    assert pooler.judge(sessions(1, 2)) == verdict({1, 2}, set())
    pooler.interrupt()
    assert pooler.judge(sessions(1, 2)) == NOTHING


def test_what_it_listed_and_lists_no_more_has_lost_its_client() -> None:
    """It forgets a connection whose client vanished; PostgreSQL works on."""
    pooler = Pooler()
    pooler.tell(listed(1, 2))
    pooler.tell(listed(2))
    assert pooler.judge(sessions(1, 2)) == verdict({2}, {1})
    assert pooler.judge(sessions(1, 2)) == verdict({2}, {1})
    assert pooler.judge(sessions(2)) == verdict({2}, set())


def test_what_was_never_listed_is_not_judged() -> None:
    """A connection that was opened after the pooler was asked is no proof of anything."""
    pooler = Pooler()
    pooler.tell(listed(1))
    assert pooler.judge(sessions(1, 5)) == verdict({1}, set())


def test_a_process_number_comes_again() -> None:
    """Another session with the pid of one that has gone comes from another port."""
    pooler = Pooler()
    pooler.tell(listed(1))
    pooler.tell(listed())
    assert pooler.judge([active(1, client_port=1234)]) == NOTHING
    assert pooler.judge(sessions(1)) == NOTHING  # forgotten when its session was gone


def test_listed_before_the_server_shows_it() -> None:
    """What is listed is kept in mind, though the sessions were read before."""
    pooler = Pooler()
    pooler.tell(listed(1))
    assert pooler.judge([]) == NOTHING
    pooler.tell(listed())
    assert pooler.judge(sessions(1)) == verdict(set(), {1})


def test_unix_socket() -> None:
    """There is no port to compare: PostgreSQL says -1, PgBouncer the server's."""
    pooler = Pooler()
    pooler.tell([ServerRow(1, 5432, local=True)])
    row = active(1, client_addr=None, client_port=-1)
    assert pooler.judge([row]) == verdict({1}, set())
    pooler.tell([])
    assert pooler.judge([row, active(2, client_port=5432)]) == verdict(set(), {1})


def test_another_server_with_the_same_process_numbers() -> None:
    """After a restart, another session may have pid and port of one that the pooler let go."""
    pooler = Pooler()
    pooler.tell([ServerRow(1, 5432, local=True), ServerRow(2, 5432, local=True)])
    place: dict[str, str | float | list[int] | None] = {"client_addr": None, "client_port": -1}
    before = [active(pid, backend_start=NOW - 9, **place) for pid in (1, 2)]
    assert pooler.judge(before) == verdict({1, 2}, set())
    pooler.tell([])
    after = active(1, backend_start=NOW, **place)
    assert pooler.judge([after, before[1]]) == verdict(set(), {2})
    assert pooler.judge([after]) == NOTHING


def test_after_an_interruption_nobody_is_accused() -> None:
    """Whoever answers next may be another process, whose pools are others."""
    pooler = Pooler()
    pooler.tell(listed(1, 2))
    pooler.tell(listed(1))
    pooler.interrupt()
    assert pooler.judge(sessions(1, 2)) == verdict({1}, set())
    pooler.tell(listed(3))
    assert pooler.judge(sessions(1, 2, 3)) == verdict({3}, set())
    pooler.tell(listed())
    assert pooler.judge(sessions(1, 2, 3)) == verdict(set(), {3})
