"""The TCP table of this very machine, with sockets of our own in every state that matters."""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from exporter.demo.ports import bindable
from exporter.server.sockets import read_tcp_table
from exporter.snapshot import Session, TcpTable
from tests.unit.rows import active

ESTABLISHED, CLOSE_WAIT = "01", "08"
OURS = active(os.getpid(), client_addr=None, client_port=-1)


@dataclass
class Host:
    """A listening socket, and both ends of what is connected to it."""

    listener: socket.socket

    @property
    def port(self) -> int:
        """Give the port that is listened on."""
        return int(self.listener.getsockname()[1])

    def connect(self, address: str) -> tuple[socket.socket, socket.socket, tuple[str, int]]:
        """Connect; give the client's end, the server's, and the client's address and port."""
        client = socket.create_connection((address, self.port))
        served, _ = self.listener.accept()
        return client, served, client.getsockname()[:2]

    def read(self, *suspects: Session, own: Session = OURS) -> TcpTable:
        """Read the table as of a server whose backend has our pid."""
        return read_tcp_table(self.port, suspects, own)


@pytest.fixture(params=[name for name in ("127.0.0.1", "::1", "::") if bindable(name)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Listen on IPv4, on IPv6, and on IPv6 for both."""
    address = request.param
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        if address == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((address, 0))
        listener.listen()
        yield Host(listener)


@pytest.fixture
def address(host: Host) -> str:
    """Give the address at which the host is to be reached."""
    bound = host.listener.getsockname()[0]
    return "127.0.0.1" if bound == "::" else str(bound)


def test_states(host: Host, address: str) -> None:
    """A client that lives, one that closed, and one that was reset, as PostgreSQL names them."""
    living, served, peer = host.connect(address)
    closed, served_closed, closed_peer = host.connect(address)
    reset, served_reset, reset_peer = host.connect(address)
    with living, served, served_closed, served_reset:
        assert host.read().peers == dict.fromkeys((peer, closed_peer, reset_peer), ESTABLISHED) | {
            listening(host): "0A"
        }
        closed.close()
        # It had not read all that was sent: the kernel resets instead of closing.
        served_reset.sendall(b"unread")
        assert reset.recv(1, socket.MSG_PEEK)
        reset.close()
        # Both ends have arrived.
        assert served_closed.recv(1) == b""
        with pytest.raises(ConnectionResetError):
            served_reset.recv(1)
        assert host.read().peers == {
            peer: ESTABLISHED,
            closed_peer: CLOSE_WAIT,
            listening(host): "0A",
        }


def listening(host: Host) -> tuple[str, int]:
    """Give the other end of the listening socket, which is nobody."""
    return ("0.0.0.0" if host.listener.family == socket.AF_INET else "::", 0)


def test_only_the_ports_own_sockets(host: Host, address: str) -> None:
    """The client's end of the same connections is on the same host, and is not looked at."""
    client, served, peer = host.connect(address)
    with client, served:
        assert set(host.read().peers) == {peer, listening(host)}
    other = read_tcp_table(1, (), OURS)
    assert peer not in other.peers


def test_our_pid_is_no_backend(host: Host, address: str) -> None:
    """A pid that is not what the server says it is: its processes are numbered otherwise."""
    client, served, (name, port) = host.connect(address)
    ours = active(os.getpid(), client_addr=name, client_port=port)
    dead = active(1, client_addr=name, client_port=1)
    with client, served:
        seen = host.read(dead, own=ours)
    assert not seen.same_processes
    assert seen.asked == {1}
    assert seen.titles == {}
    assert seen.peers[name, port] == ESTABLISHED
    assert seen.own_seconds > 0


def test_ipv6_is_read_where_it_is_needed(host: Host, address: str) -> None:
    """Who was found among the IPv4 sockets need not be looked for among the others."""
    client, served, (name, port) = host.connect(address)
    with client, served:
        seen = host.read(own=active(os.getpid(), client_addr=name, client_port=port))
    assert seen.peers[name, port] == ESTABLISHED
    assert (("::", 0) in seen.peers) == (host.listener.family == socket.AF_INET6)


def test_no_such_backend(host: Host) -> None:
    """Neither a process that is not there nor a server without sockets is an error."""
    with contextlib.closing(host.listener):
        seen = read_tcp_table(2, (), active(2**22 + 1))
    assert not seen.same_processes
    assert seen.titles == {}
