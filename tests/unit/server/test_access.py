"""The way in: what is told when every attempt has failed."""

import pytest

from exporter.server.access import Access, most_telling
from exporter.server.errors import (
    AuthenticationError,
    PollError,
    PollTimeoutError,
    RefusedError,
    TooManyConnectionsError,
)

FULL = TooManyConnectionsError("too many clients", sqlstate="53300")
STARTING = RefusedError("starting up", sqlstate="57P03")
DENIED = AuthenticationError("no entry", sqlstate="28000")
NO_PASSWORD = AuthenticationError("no password supplied")
NOBODY = RefusedError("Connection refused")
SILENCE = PollTimeoutError("no connection within 5 s")


@pytest.mark.parametrize(
    ("problems", "told"),
    [
        ([SILENCE], SILENCE),
        ([DENIED, FULL], FULL),
        ([FULL, STARTING], FULL),
        ([DENIED, STARTING], STARTING),
        ([DENIED, NOBODY], DENIED),
        ([NOBODY, NO_PASSWORD], NO_PASSWORD),
        ([NO_PASSWORD, SILENCE], NO_PASSWORD),
        ([NOBODY, SILENCE], SILENCE),
        ([SILENCE, NOBODY], NOBODY),
    ],
)
def test_most_telling(problems: list[PollError], told: PollError) -> None:
    """A server's answer tells more than none; of equals, the last; every word is kept."""
    error = most_telling(problems)
    assert (type(error), error.sqlstate) == (type(told), told.sqlstate)
    assert str(error) == "; ".join(map(str, problems))


def test_what_is_said_twice_is_told_once() -> None:
    """Attempts that fail alike are one line."""
    assert str(most_telling([NOBODY, STARTING, NOBODY])) == "Connection refused; starting up"


def test_no_secret() -> None:
    """A password is not in what is shown of an access."""
    assert "hunter2" not in repr(Access("postgresql://u:hunter2@h/x"))
