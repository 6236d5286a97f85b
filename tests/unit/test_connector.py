"""How soon a lost connection is tried again, and which targets can share one."""

import pytest

from exporter.config import Target, parse_config
from exporter.connector import MAX_BACKOFF, backoff, same_way
from exporter.server.errors import REASONS, AuthenticationError, PollError

PERSISTENT = {"authentication"}


def error(reason: str) -> PollError:
    """Make an error of a kind."""
    return REASONS[reason]("words")


@pytest.mark.parametrize("reason", sorted(REASONS.keys() - PERSISTENT))
@pytest.mark.parametrize("failures", [1, 2, 100])
def test_what_may_pass_is_tried_again_soon(reason: str, failures: int) -> None:
    """However often it has failed, a server that is back is seen at the next poll."""
    assert backoff(error(reason), failures, 5.0) == 5.0


@pytest.mark.parametrize("reason", REASONS)
def test_no_server_is_hurried(reason: str) -> None:
    """Who polls often connects no more often than once a second."""
    assert backoff(error(reason), 1, 0.1) >= 1.0


def test_what_a_person_must_mend_is_tried_ever_more_rarely() -> None:
    """Each wrong password stands in the server's log: at most one in 30 s does, in the end."""
    waits = [backoff(AuthenticationError("words"), failures, 1.0) for failures in range(1, 9)]
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    assert backoff(AuthenticationError("words"), 10**6, 1.0) == MAX_BACKOFF


def target(**keys: str) -> Target:
    """Make a target."""
    given = {"dsn": "postgresql://a@b/c"} | keys
    text = "targets:\n  - name: demo\n"
    text += "".join(f"    {name}: {value}\n" for name, value in given.items())
    [made] = parse_config(text, "test.yaml", {}).targets
    return made


@pytest.mark.parametrize(
    "keys",
    [
        {"slow_query_after": "1s"},
        {"intervals": "{settings: 7s}"},
        {"peak_window": "20s"},
        {"max_series": "50"},
        {"probe": "{dsn: 'postgresql://x@b/c'}"},
    ],
)
def test_goes_on(keys: dict[str, str]) -> None:
    """What is made of a server's answers has nothing to do with the way to it."""
    assert same_way(target(), target(**keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"spare": "true"},
        {"query_timeout": "3s"},
        {"intervals": "{activity: 2s}"},
        {"password_file": "/run/secret"},
        {"kind": "pgbouncer"},
    ],
)
def test_does_not_go_on(keys: dict[str, str]) -> None:
    """What is another way to a server needs another connection."""
    assert not same_way(target(), target(**keys))


def test_another_server() -> None:
    """What leads elsewhere is another way."""
    assert not same_way(target(), target(dsn="postgresql://a@d/c"))
