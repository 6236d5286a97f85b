"""Loopback addresses and free ports of this machine."""

import socket

IPV4, IPV6 = "127.0.0.1", "::1"


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
    """Return a port that is free on every loopback address."""
    while True:
        with socket.socket() as listener:
            listener.bind((IPV4, 0))
            port: int = listener.getsockname()[1]
        if all(bindable(host, port) for host in loopbacks()):
            return port
