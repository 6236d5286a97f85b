"""Network namespaces: clients and servers that TCP takes for those of other hosts."""

import ctypes
import itertools
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from types import TracebackType
from typing import Final, Self, TypeVar

import pytest

CLONE_NEWNET: Final = 0x40000000  # os.unshare and its constants exist from Python 3.12 on

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")
"""For tests that make a network."""

# Set aside for tests of networks (RFC 2544): two addresses are used of each four.
_FIRST: Final = IPv4Address("198.18.0.0")
_BLOCKS: Final = 2**15
_INSIDE: Final = "outside"  # the link's end in the namespace is named by where it leads
_ADDRESS: Final = "02:00:00:00:00:02"  # of that end; nobody else is on the link
_numbers = itertools.count()

T = TypeVar("T")


class Network:
    """A network namespace of its own, and a link between it and ours.

    `here` is our address on the link, `there` its own. It has no name that could stay behind: it
    lives as long as a thread of ours is in it, or a process that was started there.
    """

    def __init__(self) -> None:
        number = next(_numbers)
        block = _FIRST + (os.getpid() * 16 + number) % _BLOCKS * 4
        self.here, self.there = str(block + 1), str(block + 2)
        self._link = f"pgc{os.getpid()}-{number}"
        self._resident = ThreadPoolExecutor(1, "network", initializer=_leave_our_namespace)

    def inside(self, work: Callable[[], T]) -> T:
        """Do something in the namespace: processes started and sockets opened by it stay there."""
        return self._resident.submit(work).result()

    def cut(self) -> None:
        """Let nothing pass any more, without a word to either side: no FIN, no RST."""
        self._ip_inside("link", "set", _INSIDE, "down")

    def heal(self) -> None:
        """Let everything pass again."""
        self._ip_inside("link", "set", _INSIDE, "up")

    def _join(self) -> None:
        """Make the link, one end of it in our namespace."""
        ours = ("peer", "name", self._link, "netns", str(os.getpid()))
        self._ip_inside("link", "add", _INSIDE, "address", _ADDRESS, "type", "veth", *ours)
        self._ip_inside("address", "add", f"{self.there}/30", "dev", _INSIDE)
        self._ip_inside("link", "set", "lo", "up")
        ip("address", "add", f"{self.here}/30", "dev", self._link)
        ip("link", "set", self._link, "up")
        # Known for ever, as that of a router: else we'd soon hear that there is no route to it.
        place = ("lladdr", _ADDRESS, "dev", self._link, "nud", "permanent")
        ip("neighbour", "replace", self.there, *place)
        self.heal()

    def _ip_inside(self, *arguments: str) -> None:
        self.inside(lambda: ip(*arguments))

    def __enter__(self) -> Self:
        try:
            self._join()
        except BaseException:
            self._resident.shutdown()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ip("link", "delete", self._link)
        self._resident.shutdown()


def ip(*arguments: str) -> None:
    """Run iproute2's command in the namespace of the thread."""
    assert shutil.which("ip"), "the command ip is missing: run `make test`, which installs iproute2"
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def _leave_our_namespace() -> None:
    """Put the calling thread, which must not be the first, into a new network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
