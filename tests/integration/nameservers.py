"""A name server of a test's own, and processes that ask it and no other."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import IntEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final, cast

PORT: Final = 53  # a resolver asks at no other
# It gives up only long after our deadlines.
OPTIONS: Final = "options timeout:30 attempts:1\nsearch .\n"

_HEADER: Final = struct.Struct("!6H")
_ANSWERS: Final = 0x8180  # an answer, recursion was wanted, and is there
_TYPES: Final = {1: 4, 28: 6}  # A and AAAA, and the version of IP

# Replaces the file in a mount namespace, which ends with the process, and runs a command there.
_WITH_FILE: Final = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Trouble(IntEnum):
    """Why a name has no address, by the protocol's numbers; a silent server says nothing."""

    SERVFAIL = 2
    NXDOMAIN = 3
    SILENT = -1


Entry = str | Trouble
"""An address, or why there is none."""


class NameServer(asyncio.DatagramProtocol):
    """Answers with what it is told; what it was silent about it may answer late.

    `names` are its names, all others are in trouble; `asked` counts the questions by name.
    """

    def __init__(self, names: Mapping[str, Entry], otherwise: Trouble = Trouble.NXDOMAIN) -> None:
        self.names = dict(names)
        self.asked: Counter[str] = Counter()
        self._otherwise = otherwise
        self._waiting: list[tuple[bytes, tuple[str, int]]] = []
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def address(self) -> str:
        """The address under which it is asked."""
        assert self._transport is not None
        return str(self._transport.get_extra_info("sockname")[0])

    def say(self, name: str, entry: Entry) -> None:
        """Change a name, and answer whoever still waits."""
        self.names[name] = entry
        waiting, self._waiting = self._waiting, []
        for question, client in waiting:
            self._answer(question, client)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listen."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Count a question, and answer it."""
        self.asked[parse(data)[0]] += 1
        self._answer(data, addr)

    def _answer(self, question: bytes, client: tuple[str, int]) -> None:
        assert self._transport is not None
        entry = self.names.get(parse(question)[0], self._otherwise)
        if entry is Trouble.SILENT:
            self._waiting.append((question, client))
        else:
            self._transport.sendto(reply(question, entry), client)

    def close(self) -> None:
        """Answer nobody any more."""
        assert self._transport is not None
        self._transport.close()


def parse(question: bytes) -> tuple[str, int, int]:
    """Give name and type of what is asked, and where the question ends."""
    labels, position = [], _HEADER.size
    while length := question[position]:
        labels.append(question[position + 1 : position + 1 + length].decode())
        position += 1 + length
    [kind, _] = struct.unpack_from("!2H", question, position + 1)
    return ".".join(labels), kind, position + 5


def reply(question: bytes, entry: Entry) -> bytes:
    """Make the answer to a question."""
    _, kind, end = parse(question)
    [number] = struct.unpack_from("!H", question)
    trouble = entry if isinstance(entry, Trouble) else 0
    found = b"" if isinstance(entry, Trouble) else record(kind, entry)
    header = _HEADER.pack(number, _ANSWERS | trouble, 1, bool(found), 0, 0)
    return header + question[_HEADER.size : end] + found


def record(kind: int, address: str) -> bytes:
    """Make the record of an address, which is none where the other kind of address is wanted."""
    found = ip_address(address)
    if _TYPES.get(kind) != found.version:
        return b""
    # A pointer to the name in the question; valid for an hour, which nobody may rely on.
    return struct.pack("!3HIH", 0xC00C, kind, 1, 3600, len(found.packed)) + found.packed


@asynccontextmanager
async def name_server(
    names: Mapping[str, Entry], otherwise: Trouble = Trouble.NXDOMAIN
) -> AsyncIterator[NameServer]:
    """Run a name server on a loopback address that nobody has."""
    loop = asyncio.get_running_loop()
    for number in range(1, 255):
        try:
            _, server = await loop.create_datagram_endpoint(
                lambda: NameServer(names, otherwise), (f"127.0.53.{number}", PORT)
            )
        except OSError:  # another test's
            continue
        break
    else:
        raise AssertionError("no address is free for a name server")
    try:
        yield server
    finally:
        server.close()


def asking(server: NameServer, folder: Path) -> tuple[str, ...]:
    """Give what to put before a command, so that it asks this name server for all names."""
    file = folder / "resolv.conf"
    file.write_text(f"nameserver {server.address}\n{OPTIONS}")
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", _WITH_FILE, str(file))
