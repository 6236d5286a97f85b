"""Connections that come and go, over several polls."""

from exporter.collectors import Options
from exporter.collectors.churn import Churn
from exporter.diagnosis.clients import Group
from exporter.exposition import Distribution
from exporter.snapshot import Session
from tests.unit.rows import NOW, session, sighting, told

GROUPS = (Group("api", (), (), ("app",)), Group("jobs", (), (), ("jobs",)))


class Polls:
    """A collector that is shown one poll after the other."""

    def __init__(self) -> None:
        self.churn = Churn(Options(GROUPS))

    def see(self, *rows: Session) -> dict[str, tuple[float | Distribution, ...]]:
        """Give how many connections each client has opened and closed."""
        found = told(self.churn.collect(sighting(*rows, groups=GROUPS)))
        clients = dict.fromkeys(key[1] for key in found)
        return {
            client: tuple(found[f"pgconn_connections_{what}_total", client] for what in WHAT)
            for client in clients
        }


WHAT = ("opened", "closed")


def test_the_first_poll_counts_nothing() -> None:
    """Who was there before we came was not opened now; every client begins at zero."""
    polls = Polls()
    assert polls.see(session(1), session(2, usename="ops")) == {
        "api": (0, 0),
        "jobs": (0, 0),
        "other": (0, 0),
    }
    assert polls.see(session(1), session(2, usename="ops"))["api"] == (0, 0)


def test_opened_and_closed() -> None:
    """What is new was opened, what is gone was closed, by client, and the counters stay."""
    polls = Polls()
    polls.see(session(1), session(2))
    assert polls.see(session(2), session(3), session(4, usename="jobs")) == {
        "api": (1, 1),
        "jobs": (1, 0),
    }
    assert polls.see() == {"api": (1, 3), "jobs": (1, 1)}
    assert polls.see(session(9, usename="ops")) == {"api": (1, 3), "jobs": (1, 1), "other": (1, 0)}
    assert polls.see()["other"] == (1, 1)


def test_a_pid_that_is_used_again() -> None:
    """Another start is another connection, whatever its pid."""
    polls = Polls()
    polls.see(session(1))
    assert polls.see(session(1, backend_start=NOW - 1))["api"] == (1, 1)


def test_a_change_of_name_is_no_new_connection() -> None:
    """Many drivers tell their name only after connecting."""
    polls = Polls()
    polls.see(session(1))
    assert polls.see(session(1, usename="jobs")) == {"api": (0, 0), "jobs": (0, 0)}


def test_what_happened_meanwhile_is_not_known() -> None:
    """After a failed poll the next one is a first one; what was counted stays."""
    polls = Polls()
    polls.see()
    polls.see(session(1))
    polls.churn.interrupt()
    assert polls.see(session(2), session(3))["api"] == (1, 0)
    assert polls.see(session(3))["api"] == (1, 1)


def test_who_is_logging_in_is_not_connected_yet() -> None:
    """It is opened when its login is over, by the client that it then is, and only once."""
    polls = Polls()
    polls.see()
    starting = session(1, state="starting", usename=None, datname=None)
    assert polls.see(starting) == {"api": (0, 0), "jobs": (0, 0)}
    assert polls.see(session(1)) == {"api": (1, 0), "jobs": (0, 0)}
    polls.see(starting._replace(pid=2))
    assert polls.see() == {"api": (1, 1), "jobs": (0, 0)}
