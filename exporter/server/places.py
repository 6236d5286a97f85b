"""Where a connection string leads: the places to try, and in which order, by libpq's own rules.

psycopg does not know what a service file says, so that libpq would look a name up by itself, and
stop the event loop meanwhile. Here every name comes to light before anything is connected to.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Final, NamedTuple

from psycopg import pq
from psycopg.conninfo import make_conninfo

from exporter.server.errors import RefusedError

PREFER_STANDBY: Final = "prefer-standby"


class Place(NamedTuple):
    """One place to connect to, with libpq's names; what is not given is empty."""

    host: str
    hostaddr: str
    port: str

    @property
    def name(self) -> str | None:
        """The name that must be looked up before, if there is one."""
        local = not self.host or self.host.startswith("/")
        return None if local or self.hostaddr or _is_address(self.host) else self.host


class Destination(NamedTuple):
    """All places that a connection string leads to, and which of them is wanted."""

    places: tuple[Place, ...]
    target_session_attrs: str
    load_balance_hosts: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names that must be looked up, each once."""
        return tuple(dict.fromkeys(place.name for place in self.places if place.name))


class Attempt(NamedTuple):
    """One attempt to connect: the parameters in which it differs from others."""

    host: str
    hostaddr: str
    port: str
    target_session_attrs: str


def destination(conninfo: str) -> Destination:
    """Give what libpq makes of a string, the service file and the environment; connects to nothing.

    Only libpq knows where it looks for that file, and what takes precedence. It tells this of a
    connection alone; so one is begun, with a value that libpq refuses before it does anything.
    """
    impossible = make_conninfo(conninfo, channel_binding="impossible")
    begun = pq.PGconn.connect_start(impossible.encode())
    try:
        given = {
            option.keyword: (option.val or b"").decode(errors="replace") for option in begun.info
        }
    finally:
        begun.finish()
    return Destination(
        split_places(given[b"host"], given[b"hostaddr"], given[b"port"]),
        given.get(b"target_session_attrs", ""),
        given.get(b"load_balance_hosts", ""),
    )


def split_places(host: str, hostaddr: str, port: str) -> tuple[Place, ...]:
    """Split three lists as libpq does; raise a RefusedError where they do not fit together.

    >>> [place.port for place in split_places("a,b", "", "5432")]
    ['5432', '5432']
    """
    hosts, addresses, ports = host.split(","), hostaddr.split(","), port.split(",")
    count = len(addresses) if hostaddr else len(hosts)
    if (host and len(hosts) != count) or len(ports) not in {1, count}:
        raise RefusedError(
            "host, hostaddr and port list different numbers of places:"
            f" {len(hosts)}, {len(addresses)} and {len(ports)}"
        )
    return tuple(map(Place, _times(hosts, count), _times(addresses, count), _times(ports, count)))


def _times(values: list[str], count: int) -> list[str]:
    """Let a single value stand for all places."""
    return values * count if len(values) == 1 else values


def attempts(wanted: Destination, addresses: Mapping[str, Sequence[str]]) -> tuple[Attempt, ...]:
    """Give the attempts to make, in their order, for the names whose addresses are known."""
    at = [
        Attempt(place.host, address, place.port, wanted.target_session_attrs)
        for place in wanted.places
        for address in _addresses(place, addresses)
    ]
    if wanted.target_session_attrs != PREFER_STANDBY:
        return tuple(at)
    # libpq prefers one among all; with one place for each attempt it would take the first.
    standby = (attempt._replace(target_session_attrs="standby") for attempt in at)
    return (*standby, *(attempt._replace(target_session_attrs="any") for attempt in at))


def _addresses(place: Place, addresses: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Give the addresses of a place; the empty one is that of a Unix socket."""
    if place.name is not None:
        return addresses.get(place.name, ())
    return (place.hostaddr or (place.host if _is_address(place.host) else ""),)


def _is_address(host: str) -> bool:
    """Tell whether a host is an address already."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
