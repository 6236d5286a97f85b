"""The demo's summary says what /metrics says, and nothing that it does not say."""

import itertools
from io import StringIO

import pytest
from rich.console import Console

from exporter.demo.summary import Scrape, duration, summary

CALM = """
pgconn_up{target="demo"} 1
pgconn_slots_used{target="demo"} 26
pgconn_slots_usable{target="demo"} 57
pgconn_slots_used_peak{target="demo"} 31
pgconn_client_connections{target="demo",client="api"} 20
pgconn_client_connections{target="demo",client="reports"} 3
pgconn_client_connections{target="demo",client="celery"} 0
pgconn_client_busy_connections{target="demo",client="api"} 5
pgconn_client_pool_size{target="demo",client="api"} 20
pgconn_connection_state_age_max_seconds{target="demo",client="api",state="idle"} 2.5
pgconn_connection_state_age_max_seconds{target="demo",client="api",state="active"} 19
pgconn_poll_duration_seconds_sum{target="demo",collector="activity"} 0.5
pgconn_poll_duration_seconds_count{target="demo",collector="activity"} 100
pgconn_poll_interval_seconds{target="demo",collector="activity"} 2
"""

TROUBLE = """
pgconn_blocked_connections{target="demo",client="api",usename="app"} 3
pgconn_blocked_connections{target="demo",client="api",usename="admin"} 1
pgconn_lock_wait_max_seconds{target="demo",client="api",usename="app"} 7.25
pgconn_slow_queries{target="demo",client="reports"} 2
pgconn_probe_success{target="demo"} 0
"""

MIGRATION = 'client="migration",client_addr="10.0.0.4",state="idle in transaction"'
PREPARED = 'client="prepared transaction",client_addr="",state="prepared"'
LOCKS = f"""
pgconn_root_blocker_victims{{{PREPARED}}} 1
pgconn_root_blocker_victims{{{MIGRATION}}} 30
pgconn_root_blocker_age_max_seconds{{{MIGRATION}}} 7.5
"""

ORPHANS = """
pgconn_orphaned_connections{client="celery",usename="a",reason="idle_too_long"} 2
pgconn_orphaned_connections{client="celery",usename="b",reason="idle_too_long"} 3
pgconn_orphaned_connections{client="api",usename="app",reason="client_gone"} 1
pgconn_orphaned_connection_age_max_seconds{client="celery",usename="a",reason="idle_too_long"} 40
pgconn_orphaned_connection_age_max_seconds{client="celery",usename="b",reason="idle_too_long"} 70
pgconn_orphaned_connection_age_max_seconds{client="api",usename="app",reason="client_gone"} 7.5
"""

TIMEOUTS = """
pgconn_timeout_mismatch{client="api",rule="dead_clients_linger"} 1
pgconn_timeout_mismatch{client="api",rule="statement_timeout_above_request_timeout"} 1
pgconn_timeout_mismatch{client="api",rule="idle_timeout_below_pool_idle"} 0
pgconn_timeout_mismatch{client="reports",rule="dead_clients_linger"} 1
pgconn_dead_client_detection_seconds{session="idle"} 7875
pgconn_dead_client_detection_seconds{session="active"} +Inf
"""


def statement(number: int, query: str, mean: float, recent: float | None) -> str:
    """Return the samples of one statement."""
    labels = f'target="demo",datname="shop",usename="app",queryid="{number}"'
    lines = [
        f'pgconn_statement_info{{{labels},query="{query}"}} 1',
        f"pgconn_statement_mean_seconds{{{labels}}} {mean}",
        f"pgconn_statement_calls_total{{{labels}}} {number * 100}",
    ]
    if recent is not None:
        lines.append(f"pgconn_statement_recent_mean_seconds{{{labels}}} {recent}")
    return "\n".join([*lines, ""])


def shown(text: str) -> str:
    """Return the summary of an answer of /metrics as it is printed."""
    out = StringIO()
    Console(file=out, width=100).print(summary(Scrape(text)))
    return out.getvalue()


def line_of(text: str, start: str) -> str:
    """Return the one line that starts so, its spaces made single."""
    [line] = [line for line in shown(text).splitlines() if line.startswith(start)]
    return " ".join(line.split())


def cell_of(text: str, title: str) -> list[str]:
    """Return the lines beside a title, and below it up to the next title."""
    lines = iter(shown(text).splitlines())
    first = next(line for line in lines if line.startswith(title))
    more = itertools.takewhile(lambda line: line.startswith(" "), lines)
    return [first.removeprefix(title).strip(), *(line.strip() for line in more)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 ms"),
        (0.0042, "4.2 ms"),
        (0.9, "900.0 ms"),
        (7.25, "7.2 s"),
        (83.4, "83 s"),
        (7875, "131 min"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    """A duration has the unit and the digits that a person reads."""
    assert duration(seconds) == words


@pytest.mark.parametrize("text", ["", 'pgconn_up{target="demo"} 0\n'])
def test_without_a_server(text: str) -> None:
    """A server that does not answer has no numbers."""
    assert "cannot reach the server" in shown(text)
    assert "slots" not in shown(text)


def test_slots_and_cost() -> None:
    """The head tells how full the server is, and what watching costs."""
    assert line_of(CALM, "26 of 57") == (
        "26 of 57 usable slots used, 31 at the peak; one poll takes 5.0 ms, every 2.0 s"
    )


def test_clients() -> None:
    """Each client that holds connections has a line; a pool tells its size."""
    assert line_of(CALM, "api") == "api 20 of 20 5 15 19 s active"
    assert line_of(CALM, "reports") == "reports 3 0 3"
    assert "celery" not in shown(CALM)


def test_calm() -> None:
    """Without trouble the questions that everybody asks are answered by none."""
    assert line_of(CALM, "root blocker") == "root blocker none"
    assert line_of(CALM, "blocked") == "blocked none"
    assert line_of(CALM, "orphaned") == "orphaned none"
    assert line_of(CALM, "bad timeouts") == "bad timeouts none"
    assert line_of(CALM, "slow queries") == "slow queries none"
    assert "refused" not in shown(CALM)
    assert "dead clients" not in shown(CALM)


def test_trouble() -> None:
    """Each trouble names the client."""
    text = CALM + TROUBLE
    assert line_of(text, "blocked") == "blocked api 4; the longest for 7.2 s"
    assert line_of(text, "slow queries") == "slow queries reports 2"
    assert line_of(text, "refused") == "refused new connections"


def test_root_blockers() -> None:
    """Each has a line: how many it holds up, where it is and since when; the worst is first."""
    assert cell_of(CALM + LOCKS, "root blocker") == [
        "30 behind migration (10.0.0.4), idle in transaction, 7.5 s old",
        "1 behind prepared transaction, prepared",
    ]


def test_orphans() -> None:
    """Each client and reason has a line: how many, and how old the oldest is."""
    assert cell_of(CALM + ORPHANS, "orphaned") == [
        "api 1 client_gone, the oldest for 7.5 s",
        "celery 5 idle_too_long, the oldest for 70 s",
    ]


def test_bad_timeouts() -> None:
    """A broken rule names its clients, what only one suffers from first; the others are fine."""
    text = CALM + TIMEOUTS
    assert cell_of(text, "bad timeouts") == [
        "statement_timeout_above_request_timeout: api",
        "dead_clients_linger: api, reports",
    ]
    assert line_of(text, "dead clients") == (
        "dead clients noticed after 131 min while idle, never while active"
    )


def test_statements() -> None:
    """The slowest come first, by their mean of late where there is one; the others are cut."""
    statements = [
        statement(1, "SELECT 1", 5, None),
        statement(2, "SELECT 2", 9, 0.002),
        statement(3, "SELECT 3 " + "x" * 200, 0.1, 8),
        statement(4, "SELECT [bold] FROM rich", 4, 4),
        statement(5, "SELECT 5", 1, 1),
    ]
    lines = shown(CALM + "".join(statements)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("mean of late"))
    rows = [" ".join(line.split()) for line in lines[start + 1 :]]
    assert rows[0].startswith("8.0 s 100.0 ms 300 SELECT 3 xxx")
    assert rows[0].endswith("…")
    assert rows[1:] == [
        "5.0 s 100 SELECT 1",
        "4.0 s 4.0 s 400 SELECT [bold] FROM rich",
    ]
