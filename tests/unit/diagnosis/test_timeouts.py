"""What a login gets from the server, and which rules that breaks."""

import math
from collections.abc import Iterable

import pytest

from exporter.diagnosis.clients import Group
from exporter.diagnosis.timeouts import (
    MOST_LOGINS,
    REMEMBERED_SECONDS,
    RULES,
    Effective,
    Login,
    Logins,
    Patience,
    active_detection,
    any_broken,
    expected_logins,
    idle_detection,
)
from exporter.snapshot import Configuration, Settings, Timeout
from tests.unit.rows import NOW, session, sighting

SETTINGS = Settings("18.6", False, NOW, 100, 3, 0, None)  # noqa: FBT003 - a row
APP: Login = ("shop", "app")
KERNEL = {
    "tcp_keepalives_idle": 7200.0,
    "tcp_keepalives_interval": 75.0,
    "tcp_keepalives_count": 9.0,
    "tcp_user_timeout": 0.0,
}
SERVER_13 = KERNEL | {
    "statement_timeout": 0.0,
    "idle_in_transaction_session_timeout": 0.0,
    "lock_timeout": 0.0,
}
SERVER_14 = SERVER_13 | {"idle_session_timeout": 0.0, "client_connection_check_interval": 0.0}
SERVER_17 = SERVER_14 | {"transaction_timeout": 0.0}
QUICK = {"tcp_keepalives_idle": 60.0, "tcp_keepalives_interval": 10.0, "tcp_keepalives_count": 3.0}

API = Patience(request_timeout=30.0, idle_timeout=300.0, idle_after=900.0)
UNCONFIGURED = Patience(None, None, 900.0)


def effective(
    server: dict[str, float],
    *overrides: tuple[str, str, str, float],
    obscured: Iterable[str] = (),
) -> Effective:
    """Make what logins get of a server's settings and what is set for roles and databases."""
    hidden = tuple(obscured)
    own = [Timeout(name, "", "", v) for name, v in server.items() if name not in hidden]
    rows = (*own, *(Timeout(*override) for override in overrides))
    return Effective(Configuration(SETTINGS, rows, hidden))


@pytest.mark.parametrize(
    ("places", "value"),
    [
        ([], 100),
        ([("shop", "")], 1),
        ([("shop", ""), ("", "app")], 2),
        ([("shop", ""), ("", "app"), ("shop", "app")], 3),
        ([("shop", "app"), ("", "app"), ("shop", "")], 1),
        ([("other", ""), ("", "reports"), ("other", "app")], 100),
    ],
)
def test_what_is_nearest_counts(places: list[Login], value: float) -> None:
    """The role in the database goes before the role, that before the database and the server."""
    # Each place has its number as the value; the order in which they are listed means nothing.
    overrides = [("statement_timeout", *place, float(n)) for n, place in enumerate(places, 1)]
    found = effective({"statement_timeout": 100.0}, *overrides)
    assert found.value("statement_timeout", APP) == value


def test_off_for_a_role_goes_before_on_for_all() -> None:
    """An override that is 0 is one all the same."""
    found = effective(SERVER_14 | {"statement_timeout": 9.0}, ("statement_timeout", "", "app", 0.0))
    assert found.value("statement_timeout", APP) == 0
    assert found.ends(["statement_timeout"], APP) is False


# --- Detection


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 7200 + 9 * 75),
        (QUICK, 90),
        # With tcp_user_timeout, the first look after it counts, not the number of probes.
        (QUICK | {"tcp_user_timeout": 5.0}, 70),
        (QUICK | {"tcp_user_timeout": 70.0}, 70),
        (QUICK | {"tcp_user_timeout": 75.0}, 80),
        (QUICK | {"tcp_user_timeout": 600.0}, 600),
    ],
)
def test_idle_detection(changes: dict[str, float], seconds: float) -> None:
    """Keepalives find an idle client's end as Linux sends them."""
    assert idle_detection(effective(SERVER_14 | changes)) == seconds


@pytest.mark.parametrize("missing", KERNEL)
def test_idle_detection_needs_every_setting(missing: str) -> None:
    """Where one is not known, as over a Unix socket, nothing is told."""
    server = {name: value for name, value in SERVER_14.items() if name != missing}
    assert idle_detection(effective(server)) is None
    assert idle_detection(effective(SERVER_14, obscured=[missing])) is None


@pytest.mark.parametrize(
    ("server", "obscured", "seconds"),
    [
        (SERVER_13, [], math.inf),
        (SERVER_14, [], math.inf),
        (SERVER_14 | {"client_connection_check_interval": 2.5}, [], 2.5),
        (SERVER_14, ["client_connection_check_interval"], None),
    ],
    ids=["13", "off", "on", "obscured"],
)
def test_active_detection(
    server: dict[str, float], obscured: list[str], seconds: float | None
) -> None:
    """The check of the connection finds out about a query's client, where there is one."""
    assert active_detection(effective(server, obscured=obscured)) == seconds


# --- Rules


def told(rule: str, found: Effective, patience: Patience = API, login: Login = APP) -> bool | None:
    """Tell whether a rule is broken."""
    return RULES[rule](found, patience, login)


@pytest.mark.parametrize(
    ("server", "broken"),
    [
        (SERVER_13, True),
        (SERVER_17, True),
        (SERVER_17 | {"statement_timeout": 300.0}, True),
        (SERVER_17 | {"statement_timeout": 30.001}, True),
        (SERVER_17 | {"statement_timeout": 30.0}, False),
        (SERVER_17 | {"transaction_timeout": 25.0}, False),
        (SERVER_17 | {"transaction_timeout": 25.0, "statement_timeout": 300.0}, False),
        (SERVER_17 | {"transaction_timeout": 35.0, "statement_timeout": 25.0}, False),
        (SERVER_17 | {"transaction_timeout": 35.0}, True),
    ],
)
def test_statement_timeout_above_request_timeout(
    server: dict[str, float],
    broken: bool,  # noqa: FBT001 - the verdict
) -> None:
    """A statement must end, by whichever timeout, before its client gives up (I1)."""
    assert told("statement_timeout_above_request_timeout", effective(server)) is broken


def test_without_request_timeout() -> None:
    """A client that has none cannot be compared with."""
    found = effective(SERVER_17)
    assert told("statement_timeout_above_request_timeout", found, UNCONFIGURED) is None


@pytest.mark.parametrize(
    ("server", "broken"),
    [
        (SERVER_13, None),
        (SERVER_14, False),
        (SERVER_14 | {"idle_session_timeout": 60.0}, True),
        (SERVER_14 | {"idle_session_timeout": 300.0}, False),
    ],
)
def test_idle_timeout_below_pool_idle(
    server: dict[str, float],
    broken: bool | None,  # noqa: FBT001 - the verdict
) -> None:
    """The pool must be the first to close an idle connection."""
    found = effective(server)
    assert told("idle_timeout_below_pool_idle", found) is broken
    assert told("idle_timeout_below_pool_idle", found, UNCONFIGURED) is None


@pytest.mark.parametrize(
    ("server", "broken"),
    [
        (SERVER_13, True),
        (SERVER_13 | {"idle_in_transaction_session_timeout": 3600.0}, False),
        (SERVER_17, True),
        (SERVER_17 | {"transaction_timeout": 60.0}, False),
        (SERVER_17 | {"idle_session_timeout": 60.0}, True),  # does not hold in transactions
    ],
)
def test_no_idle_in_transaction_timeout(
    server: dict[str, float],
    broken: bool,  # noqa: FBT001 - the verdict
) -> None:
    """A transaction that is left open must end some time."""
    assert told("no_idle_in_transaction_timeout", effective(server), UNCONFIGURED) is broken


@pytest.mark.parametrize(
    ("server", "patience", "broken"),
    [
        (SERVER_13, UNCONFIGURED, True),
        (SERVER_13 | QUICK, UNCONFIGURED, False),
        (SERVER_13 | QUICK, UNCONFIGURED._replace(idle_after=89.9), True),
        (SERVER_13 | QUICK, UNCONFIGURED._replace(idle_timeout=89.9), True),
        (SERVER_13 | QUICK, UNCONFIGURED._replace(idle_timeout=90.0), False),
        # The server's own end of idle sessions finds the vanished among them, too.
        (SERVER_14 | {"idle_session_timeout": 900.0}, UNCONFIGURED, False),
        (SERVER_14 | {"idle_session_timeout": 901.0}, UNCONFIGURED, True),
        # A query whose client is gone (I1, I3).
        (SERVER_13 | QUICK, API, True),
        (SERVER_13 | QUICK | {"statement_timeout": 25.0}, API, False),
        (SERVER_14 | QUICK | {"statement_timeout": 300.0}, API, True),
        (SERVER_14 | QUICK | {"client_connection_check_interval": 10.0}, API, False),
        (SERVER_14 | QUICK | {"client_connection_check_interval": 60.0}, API, True),
        (SERVER_17 | QUICK | {"transaction_timeout": 30.0}, API, False),
        (SERVER_17 | {"statement_timeout": 25.0}, API, True),
    ],
)
def test_dead_clients_linger(
    server: dict[str, float],
    patience: Patience,
    broken: bool,  # noqa: FBT001 - the verdict
) -> None:
    """What a vanished client leaves behind must not outlast its own patience."""
    assert told("dead_clients_linger", effective(server), patience) is broken


def test_a_roles_own_keepalives_count() -> None:
    """Each of the settings that find a dead client may be set for a role."""
    overrides = [(name, "", "app", value) for name, value in QUICK.items()]
    found = effective(SERVER_13, *overrides)
    assert told("dead_clients_linger", found, UNCONFIGURED) is False
    assert told("dead_clients_linger", found, UNCONFIGURED, ("shop", "reports")) is True


@pytest.mark.parametrize(
    ("rule", "obscured"),
    [
        ("statement_timeout_above_request_timeout", "statement_timeout"),
        ("statement_timeout_above_request_timeout", "transaction_timeout"),
        ("idle_timeout_below_pool_idle", "idle_session_timeout"),
        ("no_idle_in_transaction_timeout", "idle_in_transaction_session_timeout"),
        ("no_idle_in_transaction_timeout", "transaction_timeout"),
        ("dead_clients_linger", "tcp_keepalives_count"),
        ("dead_clients_linger", "idle_session_timeout"),
    ],
)
def test_what_is_hidden_is_not_checked(rule: str, obscured: str) -> None:
    """A rule says nothing about a value that nobody knows."""
    patience = UNCONFIGURED._replace(request_timeout=30.0, idle_timeout=300.0)
    if rule == "dead_clients_linger":
        patience = UNCONFIGURED
    assert told(rule, effective(SERVER_17, obscured=[obscured]), patience) is None


def test_a_query_of_a_hidden_check_is_not_judged() -> None:
    """Without the check of the connection nobody knows how long a dead client's query stays."""
    hidden = ["client_connection_check_interval"]
    quick = SERVER_17 | QUICK
    assert told("dead_clients_linger", effective(quick, obscured=hidden)) is None
    assert told("dead_clients_linger", effective(SERVER_17, obscured=hidden)) is True
    bounded = effective(quick | {"statement_timeout": 30.0}, obscured=hidden)
    assert told("dead_clients_linger", bounded) is False


def test_an_override_decides_what_is_hidden() -> None:
    """What is set for the login itself is known, whatever the server has."""
    hidden = ["statement_timeout"]
    held = effective(SERVER_17, ("statement_timeout", "", "app", 25.0), obscured=hidden)
    broken = effective(SERVER_17, ("statement_timeout", "shop", "", 60.0), obscured=hidden)
    assert told("statement_timeout_above_request_timeout", held) is False
    assert told("statement_timeout_above_request_timeout", broken) is True
    other = ("shop", "reports")
    assert told("statement_timeout_above_request_timeout", held, login=other) is None


def test_another_timeout_decides_what_is_hidden() -> None:
    """That one end is near enough suffices."""
    server = SERVER_17 | {"transaction_timeout": 25.0}
    found = effective(server, obscured=["statement_timeout"])
    assert told("statement_timeout_above_request_timeout", found) is False


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ([], None),
        ([False, False], False),
        ([False, None], None),
        ([False, None, True], True),
    ],
)
def test_verdicts_together(verdicts: list[bool | None], together: bool | None) -> None:  # noqa: FBT001
    """One that is broken breaks all; all must be checked to hold."""
    assert any_broken(verdicts) is together


# --- Logins

API_GROUP = Group("api", (), (), ("app", "web*"))
GROUPS = (API_GROUP,)


def test_logins_are_seen_by_client() -> None:
    """A client's databases and roles add up over the polls; nobody's are taken for others'."""
    logins = Logins()
    logins.see(sighting(session(1), session(2, usename="web1"), groups=GROUPS))
    logins.see(sighting(session(3, datname="stock"), groups=GROUPS))
    logins.see(sighting(session(4, usename="jobs"), groups=GROUPS))
    assert set(logins.of("api")) == {("shop", "app"), ("shop", "web1"), ("stock", "app")}
    assert set(logins.of("other")) == {("shop", "jobs")}
    assert not logins.of("nobody")


def test_who_has_not_logged_in_yet_is_no_login() -> None:
    """A client backend that is starting has neither role nor database."""
    logins = Logins()
    logins.see(sighting(session(1, usename=None, datname=None), session(2, datname=None)))
    assert not logins.of("other")


def test_logins_are_forgotten_after_a_day() -> None:
    """A role that an application has left does not stand accused for ever."""
    logins = Logins()
    logins.see(sighting(session(1, usename="web1"), session(2), groups=GROUPS))
    logins.see(sighting(session(2), now=NOW + 5, groups=GROUPS))
    logins.see(sighting(now=NOW + REMEMBERED_SECONDS, groups=GROUPS))
    assert set(logins.of("api")) == {("shop", "app"), ("shop", "web1")}
    logins.see(sighting(now=NOW + REMEMBERED_SECONDS + 5, groups=GROUPS))
    assert set(logins.of("api")) == {("shop", "app")}


def test_logins_are_bounded() -> None:
    """Of very many, those seen last are kept."""
    logins = Logins()
    for number in range(MOST_LOGINS + 10):
        logins.see(sighting(session(1, usename=f"web{number}"), now=NOW + number, groups=GROUPS))
    seen = logins.of("api")
    assert len(seen) == MOST_LOGINS
    assert ("shop", f"web{MOST_LOGINS + 9}") in seen
    assert ("shop", "web9") not in seen


@pytest.mark.parametrize(
    ("usename", "seen", "expected"),
    [
        ((), [], set()),
        (("app",), [], {("", "app")}),
        (("app", "web*", "jo?s", "[a]x"), [], {("", "app")}),
        # A role that was seen is judged by what it gets where it logs in.
        (("app", "jobs"), [APP], {APP, ("", "jobs")}),
        ((), [APP], {APP}),
    ],
)
def test_roles_that_are_named_are_expected(
    usename: tuple[str, ...], seen: list[Login], expected: set[Login]
) -> None:
    """A role that is named outright is checked before its first session."""
    assert expected_logins(Group("api", (), (), usename), seen) == expected
