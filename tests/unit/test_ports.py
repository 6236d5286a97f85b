"""Ports for servers: nobody else is given them, and nobody else has them before they listen."""

import random
import socket
import subprocess
import sys
from itertools import islice

import pytest

from exporter.demo import ports
from exporter.demo.ports import IPV4, bindable, free_port, unused

ASK = """
import sys
from exporter.demo import ports
ports.PORTS = [int(port) for port in sys.argv[1:]]
print(ports.free_port())
"""


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave three ports to choose from, which nobody has, nor anybody else is given."""
    others = random.sample(range(10000, ports.PORTS[0]), 1000)
    free = (port for port in others if unused(port) and _unreserved(port))
    three = list(islice(free, 3))
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
