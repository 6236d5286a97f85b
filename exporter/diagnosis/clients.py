"""Which configured client a connection belongs to."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal, NamedTuple

from exporter.snapshot import Session

OWN_CLIENT = "pgconn-exporter"
OTHER_CLIENT = "other"
LOCAL = "local"
"""The `client_addr` of a connection over a Unix socket."""

Network = IPv4Network | IPv6Network | Literal["local"]


class Group(NamedTuple):
    """A client group: a connection belongs to it when each condition that is given holds.

    An empty condition is not given; the entries of one are alternatives.
    """

    name: str
    client_addr: tuple[Network, ...] = ()
    application_name: tuple[str, ...] = ()
    usename: tuple[str, ...] = ()


class _Identity(NamedTuple):
    """What clients are told apart by."""

    client_addr: str
    application_name: str
    usename: str


def client_addr(session: Session) -> str:
    """Give the label: `local` for a Unix socket, empty while the address is not known yet."""
    if session.client_addr is not None:
        return session.client_addr
    return LOCAL if session.client_port == -1 else ""


class Clients:
    """The client groups of a target: the first that matches wins."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = tuple(groups)
        self._known: dict[tuple[str, str, str], str] = {}

    def names(self, sessions: Sequence[Session], own_pid: int) -> tuple[str, ...]:
        """Give the client of each session; who is not seen any more is forgotten."""
        before, self._known = self._known, {}
        return tuple(
            [
                OWN_CLIENT if session.pid == own_pid else self._name(session, before)
                for session in sessions
            ]
        )

    def _name(self, session: Session, before: dict[tuple[str, str, str], str]) -> str:
        identity = client_addr(session), session.application_name or "", session.usename or ""
        name = self._known.get(identity)
        if name is None:
            name = before.get(identity) or self._match(_Identity(*identity))
            self._known[identity] = name
        return name

    def _match(self, identity: _Identity) -> str:
        if identity.application_name == OWN_CLIENT:
            return OWN_CLIENT
        for group in self._groups:
            if matches(group, identity):
                return group.name
        return OTHER_CLIENT


def matches(group: Group, identity: _Identity) -> bool:
    """Tell whether each given condition of a group holds."""
    return (
        (not group.client_addr or in_networks(identity.client_addr, group.client_addr))
        and (not group.application_name or like(identity.application_name, group.application_name))
        and (not group.usename or like(identity.usename, group.usename))
    )


def like(value: str, globs: Sequence[str]) -> bool:
    """Tell whether a value matches one of the globs, upper and lower case being different."""
    return any(fnmatchcase(value, glob) for glob in globs)


def in_networks(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address as PostgreSQL writes it lies in one of the networks."""
    if address in {"", LOCAL}:
        return address in networks
    # A link-local address comes with its zone, which is no part of the network.
    parsed = ip_address(address.partition("%")[0])
    return any(network != LOCAL and parsed in network for network in networks)
