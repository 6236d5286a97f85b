"""What the TCP table of the server's host proves, and when it proves nothing."""

from collections.abc import Mapping

import pytest

from exporter.diagnosis.sockets import CLOSE_WAIT, ESTABLISHED, gone, suspects, usable
from exporter.snapshot import Session, TcpTable
from tests.unit.rows import NOW, active, activity, session

OURS = active(7, client_addr="127.0.0.1", client_port=60_007)
OURS_BY_SOCKET = active(7, client_addr=None, client_port=-1)
OUR_PEER = {("127.0.0.1", 60_007): ESTABLISHED}
LIVING = active(1, client_addr="10.0.1.7", client_port=40_001)
KILLED = active(2, client_addr="10.0.1.7", client_port=40_002)
RESET = active(3, client_addr="2001:db8::5", client_port=40_003)
ASKED = frozenset({1, 2, 3})
PEERS = {
    **OUR_PEER,
    ("10.0.1.7", 40_001): ESTABLISHED,
    ("10.0.1.7", 40_002): CLOSE_WAIT,
}


def table(
    peers: Mapping[tuple[str, int], str], *, same: bool = True, titled: tuple[Session, ...] = ()
) -> TcpTable:
    """Make a table, with the titles of backends."""
    titles = {
        s.pid: f"postgres: app shop {s.client_addr}({s.client_port}) SELECT\0" for s in titled
    }
    return TcpTable(ASKED, peers, same, titles)


def test_whose_client_is_gone() -> None:
    """A socket that waits to be closed, or that is no more."""
    rows = activity(LIVING, KILLED, RESET, OURS, own_pid=7)
    seen = table(PEERS, titled=(KILLED, RESET))
    assert usable(rows, seen)
    assert gone(rows, seen) == {2, 3}


@pytest.mark.parametrize("state", ["02", "03", "04", "05", "06", "09", "0B"])
def test_other_states_prove_nothing(state: str) -> None:
    """The server closes, too."""
    rows = activity(KILLED, OURS, own_pid=7)
    seen = table({**OUR_PEER, ("10.0.1.7", 40_002): state}, titled=(KILLED,))
    assert gone(rows, seen) == set()


def test_only_who_was_asked_for() -> None:
    """Of the others the table may not have been read."""
    rows = activity(KILLED, active(9, client_port=40_009), OURS, own_pid=7)
    assert gone(rows, table(PEERS, titled=(KILLED,))) == {2}


def test_suspects() -> None:
    """Who runs a query since the last look, over TCP; others end with their client."""
    rows = activity(
        active(1, query_start=NOW - 3),
        active(2, query_start=NOW - 2, state="fastpath function call"),
        active(3, query_start=NOW - 1),
        session(4, query_start=NOW - 9),
        session(5, query_start=NOW - 9, state="idle in transaction"),
        active(6, query_start=NOW - 9, client_addr=None, client_port=-1),
        active(7, query_start=NOW - 9, backend_type="walsender"),
        active(8, query_start=None),
    )
    assert [s.pid for s in suspects(rows, NOW - 2)] == [1, 2]


def test_a_process_that_is_no_backend_any_more() -> None:
    """A backend that ended after the sessions were read is no orphan; nor is a stranger's pid."""
    rows = activity(KILLED, RESET, OURS, own_pid=7)
    seen = TcpTable(
        ASKED, PEERS, same_processes=True, titles={2: "", 3: "postgres: app shop ::1(5) idle"}
    )
    assert gone(rows, seen) == set()


def test_other_process_numbers() -> None:
    """Where pids are not the server's, the sockets alone decide: a pod shares its network only."""
    rows = activity(LIVING, KILLED, OURS, own_pid=7)
    seen = table(PEERS, same=False)
    assert usable(rows, seen)
    assert gone(rows, seen) == {2}


def test_another_network_namespace() -> None:
    """A table without our own connection is not the server's: all would look gone."""
    rows = activity(LIVING, KILLED, OURS, own_pid=7)
    assert not usable(rows, table({}))
    assert not usable(rows, table({("10.0.1.7", 40_001): ESTABLISHED}))
    assert not usable(rows, table({("127.0.0.1", 60_007): CLOSE_WAIT}))


def test_we_come_over_the_unix_socket() -> None:
    """The table of our own backend is the right one; of another, somebody must be in it."""
    rows = activity(LIVING, KILLED, OURS_BY_SOCKET, own_pid=7)
    assert usable(rows, table({}))
    assert usable(rows, table(PEERS, same=False))
    assert not usable(rows, table({}, same=False))
    assert not usable(activity(OURS_BY_SOCKET, own_pid=7), table({}, same=False))
