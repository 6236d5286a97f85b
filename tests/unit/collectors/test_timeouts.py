"""Timeouts, how soon a dead client is noticed, and the rules, as samples."""

import math

from exporter.collectors import Options
from exporter.collectors.timeouts import Timeouts
from exporter.diagnosis.clients import Group
from exporter.diagnosis.timeouts import RULES, Logins
from exporter.snapshot import Configuration, Settings, Timeout
from tests.unit.rows import NOW, session, sighting, told

SETTINGS = Settings("18.6", False, NOW, 100, 3, 0, None)  # noqa: FBT003 - a row
GROUPS = (Group("api", (), (), ("app",)), Group("office", (), ("psql",)))
OPTIONS = Options(GROUPS, request_timeouts={"api": 30.0}, idle_timeouts={"api": 300.0})
SERVER = {
    "statement_timeout": 0.0,
    "idle_in_transaction_session_timeout": 60.0,
    "idle_session_timeout": 0.0,
    "client_connection_check_interval": 10.0,
    "tcp_keepalives_idle": 60.0,
    "tcp_keepalives_interval": 10.0,
    "tcp_keepalives_count": 6.0,
    "tcp_user_timeout": 0.0,
}
TIMEOUT, MISMATCH = "pgconn_timeout_seconds", "pgconn_timeout_mismatch"
OWN = "pgconn_client_timeout_seconds"
DETECTION = "pgconn_dead_client_detection_seconds"


def configuration(
    *overrides: tuple[str, str, str, float], obscured: tuple[str, ...] = ()
) -> Configuration:
    """Make a configuration of the server's values and overrides."""
    rows = [Timeout(name, "", "", v) for name, v in SERVER.items() if name not in obscured]
    return Configuration(SETTINGS, (*rows, *(Timeout(*o) for o in overrides)), obscured)


def test_each_timeout_is_a_series() -> None:
    """The server's own and each override are told; a count is no timeout."""
    override = ("statement_timeout", "shop", "app", 25.0)
    found = told(Timeouts(Options(), Logins()).collect(configuration(override)))
    assert {key[1:]: value for key, value in found.items() if key[0] == TIMEOUT} == {
        (name, "", ""): value for name, value in SERVER.items() if name != "tcp_keepalives_count"
    } | {("statement_timeout", "shop", "app"): 25.0}


def test_what_clients_do_by_themselves() -> None:
    """The configured timeouts of a client are told as they stand there, of no other."""
    found = told(Timeouts(OPTIONS, Logins()).collect(configuration()))
    assert {key[1:]: value for key, value in found.items() if key[0] == OWN} == {
        ("api", "request_timeout"): 30,
        ("api", "idle_timeout"): 300,
    }


def test_detection() -> None:
    """How soon a dead client is noticed is told for both kinds of session."""
    found = told(Timeouts(Options(), Logins()).collect(configuration()))
    assert found[DETECTION, "idle"] == 120
    assert found[DETECTION, "active"] == 10


def test_detection_that_nobody_knows() -> None:
    """Obscured settings leave nothing to tell; a check that does not exist is for ever."""
    hidden = ("tcp_keepalives_idle", "client_connection_check_interval")
    found = told(Timeouts(Options(), Logins()).collect(configuration(obscured=hidden)))
    assert not [key for key in found if key[0] == DETECTION]
    version_13 = Configuration(SETTINGS, (Timeout("statement_timeout", "", "", 0.0),))
    found = told(Timeouts(Options(), Logins()).collect(version_13))
    assert found == {(TIMEOUT, "statement_timeout", "", ""): 0, (DETECTION, "active"): math.inf}


def test_every_rule_of_every_client() -> None:
    """Rules stand by client; what a client has not configured, or has not logged in, is absent."""
    logins = Logins()
    collector = Timeouts(OPTIONS, logins)
    before = told(collector.collect(configuration()))
    assert {key[1:]: value for key, value in before.items() if key[0] == MISMATCH} == {
        ("api", "statement_timeout_above_request_timeout"): 1,
        ("api", "idle_timeout_below_pool_idle"): 0,
        ("api", "no_idle_in_transaction_timeout"): 0,
        ("api", "dead_clients_linger"): 0,
    }
    logins.see(sighting(session(1, usename="me", application_name="psql"), groups=GROUPS))
    after = told(collector.collect(configuration()))
    assert after.items() - before.items() == {
        ((MISMATCH, "office", "no_idle_in_transaction_timeout"), 0),
        ((MISMATCH, "office", "dead_clients_linger"), 0),
    }


def test_one_login_breaks_a_rule() -> None:
    """A client stands accused as soon as one of its logins breaks the rule."""
    logins = Logins()
    logins.see(sighting(session(1), session(2, datname="stock"), groups=GROUPS))
    rule = (MISMATCH, "api", "statement_timeout_above_request_timeout")
    in_shop = ("statement_timeout", "shop", "app", 25.0)
    in_stock = ("statement_timeout", "stock", "", 25.0)
    collector = Timeouts(OPTIONS, logins)
    assert told(collector.collect(configuration(in_shop)))[rule] == 1
    assert told(collector.collect(configuration(in_shop, in_stock)))[rule] == 0
    hidden = ("statement_timeout",)
    assert rule not in told(collector.collect(configuration(in_shop, obscured=hidden)))
    assert told(collector.collect(configuration(in_shop, in_stock, obscured=hidden)))[rule] == 0


def test_an_interruption_does_not_forget_the_logins() -> None:
    """A failed poll of the settings says nothing about who logs in."""
    logins = Logins()
    logins.see(sighting(session(1, application_name="psql", usename="me"), groups=GROUPS))
    collector = Timeouts(OPTIONS, logins)
    collector.interrupt()
    found = told(collector.collect(configuration()))
    assert (MISMATCH, "office", "no_idle_in_transaction_timeout") in found


def test_the_rules_are_a_closed_set() -> None:
    """Alerts and dashboards name them."""
    assert set(RULES) == {
        "statement_timeout_above_request_timeout",
        "idle_timeout_below_pool_idle",
        "no_idle_in_transaction_timeout",
        "dead_clients_linger",
    }
