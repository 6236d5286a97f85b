"""Loopback addresses and free ports of this machine."""

import random
import socket
from collections.abc import Sequence

IPV4, IPV6 = "127.0.0.1", "::1"

# Below what Linux gives to outgoing connections (32768 and up by default): one that is opened
# before the server listens could have its port, and so could another while it restarts.
PORTS: Sequence[int] = range(20000, 32768)


def bindable(host: str, port: int = 0) -> bool:
    """Tell whether a server could listen there; port 0 asks for the address alone."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as listener:
            # As servers do: connections that have just ended do not hold the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
    except OSError:
        return False
    return True


def loopbacks() -> list[str]:
    """Return the loopback addresses of this machine: some have no IPv6."""
    return [host for host in (IPV4, IPV6) if bindable(host)]


def free_port() -> int:
    """Return a port that is free on every loopback address, which nobody else is given.

    No other call returns it while this process lives, in whichever process.
    """
    while True:
        port = random.choice(PORTS)
        if unused(port) and _reserved(port):
            return port


def unused(port: int) -> bool:
    """Tell whether a server could listen there, on every loopback address."""
    return all(bindable(host, port) for host in loopbacks())


def _reserved(port: int) -> bool:
    """Reserve a port among all that ask here: whoever has bound it for UDP, which nobody uses."""
    with socket.socket(type=socket.SOCK_DGRAM) as holder:
        try:
            holder.bind((IPV4, port))
        except OSError:
            return False
        holder.detach()  # it stays bound as long as this process lives
    return True
