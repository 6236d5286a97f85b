"""Which configured client a connection belongs to."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from exporter.diagnosis.clients import Clients, Group, client_addr
from exporter.snapshot import Session
from tests.unit.rows import session


def client(session: Session, *groups: Group, own_pid: int = 0) -> str:
    """Name the client of one session."""
    [name] = Clients(groups).names([session], own_pid)
    return name


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.1.7", "10.0.1.0/24"),
        ("10.0.1.7", "10.0.1.7/32"),
        ("10.0.1.7", "0.0.0.0/0"),
        ("2001:db8::5", "2001:db8::/32"),
        ("2001:db8:0:0:0:0:0:5", "2001:db8::5/128"),
        ("::1", "::/0"),
        ("fe80::1%eth0", "fe80::/10"),
    ],
)
def test_address_in_a_network(address: str, network: str) -> None:
    """An address of either version belongs to the network that it lies in, its zone left aside."""
    api = Group("api", (ip_network(network),))
    assert client(session(client_addr=address), api) == "api"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.2.7", "10.0.1.0/24"),
        ("10.0.1.7", "::/0"),
        ("::1", "0.0.0.0/0"),
        ("2001:db9::5", "2001:db8::/32"),
    ],
)
def test_address_elsewhere(address: str, network: str) -> None:
    """An address of the other version lies in no network, be it everything."""
    api = Group("api", (ip_network(network),))
    assert client(session(client_addr=address), api) == "other"


def test_unix_socket() -> None:
    """Only `local` is a Unix socket, and `local` nothing else."""
    local, remote = Group("local", ("local",)), Group("remote", (ip_network("0.0.0.0/0"),))
    over_socket = session(client_addr=None, client_port=-1)
    assert client(over_socket, remote, local) == "local"
    assert client(over_socket, remote) == "other"
    assert client(session(), local, remote) == "remote"


def test_address_that_is_not_known() -> None:
    """A session without address and port is in no network, not even the socket's."""
    unknown = session(client_addr=None, client_port=None)
    groups = (Group("local", ("local",)), Group("any", (ip_network("0.0.0.0/0"),)))
    assert client(unknown, *groups) == "other"
    assert client_addr(unknown) == ""


def test_several_networks() -> None:
    """The entries of one condition are alternatives."""
    group = Group("api", ("local", ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")))
    addresses = ["10.9.9.9", "2001:db8::1", "11.0.0.1"]
    rows = [session(client_addr=address) for address in addresses]
    assert Clients([group]).names(rows, 0) == ("api", "api", "other")


@pytest.mark.parametrize(
    ("name", "glob", "matches"),
    [
        ("gunicorn: worker 3", "gunicorn*", True),
        ("gunicorn", "gunicorn*", True),
        ("Gunicorn", "gunicorn*", False),
        ("my gunicorn", "gunicorn*", False),
        ("job-7", "job-?", True),
        ("job-17", "job-?", False),
        ("job-7", "job-[0-5]", False),
        ("a\nb", "a*b", True),
        ("a*b", "a[*]b", True),
        ("axb", "a[*]b", False),
        ("", "", True),
        ("", "?*", False),
    ],
)
def test_globs(name: str, glob: str, *, matches: bool) -> None:
    """A glob takes the whole name, and tells upper from lower case."""
    expected = "it" if matches else "other"
    assert client(session(application_name=name), Group("it", (), (glob,))) == expected
    assert client(session(usename=name), Group("it", (), (), (glob,))) == expected


def test_every_condition_holds() -> None:
    """A connection belongs to a group only when address, application and role fit."""
    group = Group("api", (ip_network("10.0.1.0/24"),), ("gunicorn*", "uvicorn"), ("app", "web_*"))
    right: dict[str, str] = {"client_addr": "10.0.1.9", "application_name": "uvicorn"}
    assert client(session(**right, usename="web_7"), group) == "api"
    assert client(session(**right, usename="ops"), group) == "other"
    assert client(session(**right | {"client_addr": "10.0.2.9"}), group) == "other"
    assert client(session(**right | {"application_name": "psql"}), group) == "other"


def test_the_first_match_wins() -> None:
    """The order of the groups decides."""
    groups = [Group("one", (), ("gunicorn",)), Group("two", (), (), ("app",)), Group("rest")]
    rows = [session(), session(application_name="psql"), session(application_name="", usename="x")]
    assert Clients(groups).names(rows, 0) == ("one", "two", "rest")
    assert Clients(groups[::-1]).names(rows, 0) == ("rest", "rest", "rest")


def test_names_that_are_null() -> None:
    """Who is still logging in has no names yet, which a glob sees as empty."""
    nameless = session(application_name=None, usename=None, datname=None)
    assert client(nameless, Group("app", (), (), ("app",)), Group("any", (), ("*",))) == "any"


def test_own_connection() -> None:
    """We are ourselves by our pid, and by our name (the probe), before any group."""
    everything = Group("everything")
    assert client(session(7, application_name="renamed"), everything, own_pid=7) == (
        "pgconn-exporter"
    )
    probe = session(8, application_name="pgconn-exporter")
    assert client(probe, everything, own_pid=7) == "pgconn-exporter"
    assert client(session(9), everything, own_pid=7) == "everything"


def test_own_pid_does_not_name_our_like() -> None:
    """A session that looks like ours, but for the pid, is not taken for us."""
    rows = [session(7), session(8)]
    clients = Clients([Group("api")])
    assert clients.names(rows, 7) == ("pgconn-exporter", "api")
    assert clients.names(rows, 8) == ("api", "pgconn-exporter")


class Globs(tuple[str, ...]):
    """Globs that count how often somebody looks at them."""

    __slots__ = ()
    looks = 0

    def __iter__(self) -> Iterator[str]:
        """Count, and go through them."""
        type(self).looks += 1
        return super().__iter__()


def test_matching_is_done_once_for_each_identity() -> None:
    """Who was named in the last poll is not matched again; who had left is."""
    clients = Clients([Group("api", (), Globs(("gunicorn",)))])
    rows = [session(pid) for pid in range(100)]
    looks = []
    for seen in (rows, rows, [session(application_name="psql")], rows):
        clients.names(seen, 0)
        looks.append(Globs.looks)
    assert looks == [1, 1, 2, 3]
