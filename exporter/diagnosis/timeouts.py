"""Which timeouts a client gets from the server, and where they do not fit its own.

A `login` is (datname, usename); an empty datname is any database.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from exporter.diagnosis.clients import Group
from exporter.diagnosis.sightings import Sighting
from exporter.snapshot import Configuration

Login = tuple[str, str]
NEW_SESSION: Final[Login] = ("", "")
"""The login of a role and a database that nothing is set for."""

# A nightly job comes back within a day; what logs in no more must not stand accused for ever.
REMEMBERED_SECONDS: Final = 25 * 3600.0
# Roles may be made for each deployment, or for each hour.
MOST_LOGINS: Final = 200

_STATEMENT_ENDS: Final = ("statement_timeout", "transaction_timeout")
_IDLE_TRANSACTION_ENDS: Final = ("idle_in_transaction_session_timeout", "transaction_timeout")
_IDLE_ENDS: Final = ("idle_session_timeout",)
_CHECK: Final = "client_connection_check_interval"


class Logins:
    """Which databases and roles each client has been seen to log in with, within a day."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[Login, float]] = {}

    def see(self, sighting: Sighting) -> None:
        """Take note of who is connected."""
        now = sighting.now
        for client, datname, usename in {
            (c.client, c.session.datname, c.session.usename) for c in sighting.connections
        }:
            if datname is not None and usename is not None:
                logins = self._seen.setdefault(client, {})
                logins.pop((datname, usename), None)
                logins[datname, usename] = now
        for logins in self._seen.values():
            _forget(logins, now)

    def of(self, client: str) -> Collection[Login]:
        """Give the logins of a client."""
        return self._seen.get(client, {}).keys()


def _forget(logins: dict[Login, float], now: float) -> None:
    """Drop what was seen too long ago; the longest ago stands first."""
    while logins:
        first = next(iter(logins))
        if len(logins) <= MOST_LOGINS and now - logins[first] <= REMEMBERED_SECONDS:
            return
        del logins[first]


def expected_logins(group: Group, seen: Collection[Login]) -> set[Login]:
    """Give the logins of a client: those seen, and the roles it is known by, not seen yet."""
    roles = {usename for _, usename in seen}
    named = {name for name in group.usename if not any(c in name for c in "*?[")}
    return {*seen, *(("", usename) for usename in named - roles)}


class Effective:
    """What a login gets of each setting, in seconds: what stands nearest to it counts.

    Nearest is the role in the database, then the role, then the database, then the server.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._obscured = frozenset(configuration.obscured)
        self._values = {(t.setting, t.datname, t.usename): t.value for t in configuration.timeouts}

    def value(self, setting: str, login: Login) -> float | None:
        """Give what a login gets; None where nobody knows, or the version has no such setting."""
        datname, usename = login
        for place in (login, ("", usename), (datname, ""), NEW_SESSION):
            value = self._values.get((setting, *place))
            if value is not None:
                return value
        return None

    def hidden(self, setting: str, login: Login) -> bool:
        """Tell whether a login gets a value that we cannot see."""
        return setting in self._obscured and self.value(setting, login) is None

    def ends(self, settings: Iterable[str], login: Login, limit: float = math.inf) -> bool | None:
        """Tell whether one of these timeouts is on, and within a limit; None where unknown."""
        values = {setting: self.value(setting, login) for setting in settings}
        if any(value is not None and 0 < value <= limit for value in values.values()):
            return True
        known = any(value is not None for value in values.values())
        return None if not known or any(self.hidden(s, login) for s in values) else False


def idle_detection(effective: Effective, login: Login = NEW_SESSION) -> float | None:
    """Give how long a vanished client's idle session is kept at most; None where unknown.

    Linux sends the first probe after `idle`, and looks again after each `interval`. It gives up
    when `count` probes went unanswered, or at the first look that finds tcp_user_timeout passed.
    """
    idle, interval, count, user_timeout = (
        effective.value(setting, login)
        for setting in (
            "tcp_keepalives_idle",
            "tcp_keepalives_interval",
            "tcp_keepalives_count",
            "tcp_user_timeout",
        )
    )
    if idle is None or interval is None or count is None or user_timeout is None:
        return None
    if user_timeout > 0:
        count = max(1, math.ceil((user_timeout - idle) / interval))
    return idle + interval * count


def active_detection(effective: Effective) -> float | None:
    """Give how long a vanished client's query runs on at most; None where unknown.

    It is for ever where the check is off, and before PostgreSQL 14, which has none.
    """
    if effective.hidden(_CHECK, NEW_SESSION):
        return None
    return effective.value(_CHECK, NEW_SESSION) or math.inf


class Patience(NamedTuple):
    """How long a client waits for an answer, and how long it keeps an idle connection.

    In seconds; None is not configured. `idle_after` is when a connection counts as orphaned.
    """

    request_timeout: float | None
    idle_timeout: float | None
    idle_after: float


Rule = Callable[[Effective, Patience, Login], bool | None]
"""Tells whether a login breaks a rule; None where it cannot be checked."""


def statement_timeout_above_request_timeout(
    effective: Effective, patience: Patience, login: Login
) -> bool | None:
    """Tell whether a statement may run longer than anybody waits for its answer."""
    if patience.request_timeout is None:
        return None
    return _not(effective.ends(_STATEMENT_ENDS, login, patience.request_timeout))


def idle_timeout_below_pool_idle(
    effective: Effective, patience: Patience, login: Login
) -> bool | None:
    """Tell whether the server cuts off connections that the client's pool still trusts."""
    timeout = effective.value("idle_session_timeout", login)
    if patience.idle_timeout is None or timeout is None:
        return None
    return 0 < timeout < patience.idle_timeout


def no_idle_in_transaction_timeout(
    effective: Effective, patience: Patience, login: Login
) -> bool | None:
    """Tell whether a transaction that is left open keeps its locks for ever."""
    del patience
    return _not(effective.ends(_IDLE_TRANSACTION_ENDS, login))


def dead_clients_linger(effective: Effective, patience: Patience, login: Login) -> bool | None:
    """Tell whether the server keeps a vanished client longer than it would have stayed itself.

    Its idle session ends by the keepalives or by idle_session_timeout, its query by the check of
    the connection or by its own timeouts.
    """
    verdicts = [_idle_lingers(effective, patience, login)]
    if patience.request_timeout is not None:
        ends = (_CHECK, *_STATEMENT_ENDS)
        verdicts.append(_not(effective.ends(ends, login, patience.request_timeout)))
    return any_broken(verdicts)


def _idle_lingers(effective: Effective, patience: Patience, login: Login) -> bool | None:
    limit = patience.idle_after if patience.idle_timeout is None else patience.idle_timeout
    if effective.ends(_IDLE_ENDS, login, limit):
        return False
    detection = idle_detection(effective, login)
    if detection is None or detection <= limit:
        return None if detection is None else False
    return None if effective.hidden("idle_session_timeout", login) else True


RULES: Final[Mapping[str, Rule]] = {
    "statement_timeout_above_request_timeout": statement_timeout_above_request_timeout,
    "idle_timeout_below_pool_idle": idle_timeout_below_pool_idle,
    "no_idle_in_transaction_timeout": no_idle_in_transaction_timeout,
    "dead_clients_linger": dead_clients_linger,
}


def any_broken(verdicts: Iterable[bool | None]) -> bool | None:
    """Tell whether one is broken; where none is, all must have been checked, and one at least."""
    found = set(verdicts)
    if True in found:
        return True
    return None if None in found or not found else False


def _not(verdict: bool | None) -> bool | None:  # noqa: FBT001 - it is what is turned round
    return None if verdict is None else not verdict
