"""Ports for servers: nobody else is given them, and nobody else has them before they listen."""

import socket
import subprocess
import sys

import pytest

from exporter.demo import ports
from exporter.demo.ports import IPV4, bindable, free_port

ASK = """
import sys
from exporter.demo import ports
ports.PORTS = [int(port) for port in sys.argv[1:]]
print(ports.free_port())
"""


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave three ports to choose from, which nobody has."""
    three = [port for port in ports.PORTS if bindable(IPV4, port) and _unreserved(port)][-3:]
    monkeypatch.setattr(ports, "PORTS", three)
    return three


def _unreserved(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as holder:
        try:
            holder.bind((IPV4, port))
        except OSError:
            return False
    return True


def test_a_port_is_given_once(three: list[int]) -> None:
    """Whoever asks gets another one, also in another process."""
    given = {free_port(), free_port()}
    other = [sys.executable, "-c", ASK, *map(str, three)]
    told = subprocess.run(other, check=True, capture_output=True, text=True).stdout
    assert given | {int(told)} == set(three)


@pytest.mark.usefixtures("three")
def test_a_server_can_listen_there() -> None:
    """That a port is reserved is in no server's way."""
    assert bindable(IPV4, free_port())
