"""The TCP table of the server's host, from /proc, where the exporter runs beside the server.

Linux shows the sockets of a process's network namespace to everybody: through the process of our
own backend, we see the right ones even where the server's namespace is not ours.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final

from exporter.snapshot import Session, TcpTable

_PROC: Final = Path("/proc")
_ESTABLISHED: Final = "01"
_MAPPED: Final = "::ffff:"
"""What an IPv4 address begins with on an IPv6 socket."""


def read_tcp_table(port: int, suspects: Sequence[Session], own: Session) -> TcpTable:
    """Look for the sockets of sessions at a server's port; `own` is our session.

    Gives an empty table where that is not possible. Blocks for as long as the kernel needs to
    walk through all of its sockets, which are not the server's alone: 5 ms and more.
    """
    started = time.thread_time()
    same = _is_backend(own)
    folder = _PROC / (str(own.pid) if same else "self") / "net"
    wanted = [s for s in (own, *suspects) if (s.client_port or 0) > 0]
    peers = _peers(folder / "tcp", port)
    if not wanted or any(_end(s) not in peers for s in wanted):
        peers |= _peers(folder / "tcp6", port)
    dead = [s for s in suspects if peers.get(_end(s)) != _ESTABLISHED]
    return TcpTable(
        asked=frozenset(s.pid for s in suspects),
        peers=peers,
        same_processes=same,
        titles={s.pid: _title(s.pid) for s in dead} if same else {},
        own_seconds=time.thread_time() - started,
    )


def _is_backend(session: Session) -> bool:
    """Tell whether a process of that pid is the session's backend."""
    place = "[local]" if session.client_port == -1 else f"({session.client_port})"
    title = _title(session.pid)
    return "postgres" in title and place in title


def _title(pid: int) -> str:
    """Give the command line, which a backend makes `postgres: role database address(port) state`.

    Empty where there is no such process, or we may not see it.
    """
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace")
    return ""


def _end(session: Session) -> tuple[str, int]:
    return session.client_addr or "", session.client_port or 0


def _peers(table: Path, port: int) -> dict[tuple[str, int], str]:
    """Give the state of the sockets at our end of a port, by their other end.

    Should two addresses of the server have the same other end, the one that lives counts.
    """
    peers: dict[tuple[str, int], str] = {}
    for peer, state in _sockets(table, port):
        if peers.get(peer) != _ESTABLISHED:
            peers[peer] = state
    return peers


def _sockets(table: Path, port: int) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield the other end and the state of each socket whose own port is that one."""
    # Looked for before anything is parsed: most of a busy host's sockets are not the server's.
    mark = f":{port:04X} "
    with contextlib.suppress(OSError):  # without IPv6, there is no tcp6
        for line in table.read_bytes().splitlines():
            if mark.encode() in line:
                _, own, other, state, *_ = line.decode("ascii").split()
                if f"{own} ".endswith(mark):
                    address, _, other_port = other.partition(":")
                    yield (_address(address), int(other_port, 16)), state


@lru_cache(maxsize=4096)
def _address(text: str) -> str:
    """Write an address of the table as PostgreSQL writes it: its words are in the host's order.

    >>> _address("0100007F") if sys.byteorder == "little" else "127.0.0.1"
    '127.0.0.1'
    """
    words = [int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)]
    family = AF_INET if len(words) == 1 else AF_INET6
    return inet_ntop(family, b"".join(words)).removeprefix(_MAPPED)
