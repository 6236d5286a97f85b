"""Read and write the values of the configuration file: durations, ratios, networks, addresses.

Pure functions from text to value. What they cannot read they refuse with a ValueError whose
message goes to the user as it stands, so it says what to write instead.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from typing import Final, Literal, Self

Network = IPv4Network | IPv6Network | Literal["local"]

DURATION_PATTERN: Final = (
    "(?=[0-9])([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"
)
RATIO_PATTERN: Final = r"[0-9]+(\.[0-9]+)?%|[0-9]+\.[0-9]+"

_UNITS: Final = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_PART: Final = re.compile("([0-9]+)(y|w|d|h|ms|m|s)")
_FRACTION: Final = re.compile(r"([0-9]{1,9}\.[0-9]{1,9})\s?(y|w|d|h|ms|m|s)?")
_LONGEST_MS: Final = (2**63 - 1) // 1_000_000  # what Prometheus can hold: 292 years
_LONGEST_SHOWN: Final = 60
_MAX_PORT: Final = 65535
_SUSPICIOUS: Final = re.compile("://|[@=]|passw|secret|token", re.IGNORECASE)


class Replaced(str):
    """A text that holds values of environment variables, and how it was written."""

    __slots__ = ("written",)

    written: str

    def __new__(cls, text: str, written: str) -> Self:
        """Make the text, remembering what stands in the file."""
        made = super().__new__(cls, text)
        made.written = written
        return made


def show(value: object) -> str:
    """Quote a value for a message, unless it may be a secret in the wrong place.

    >>> show("1 sec"), show("postgresql://user:secret@host/")
    ("'1 sec'", 'the value')
    """
    text = value.written if isinstance(value, Replaced) else str(value)
    if len(text) > _LONGEST_SHOWN or _SUSPICIOUS.search(text):
        return "the value"
    return repr(text)


def describe(value: object) -> str:
    """Name what stands in the place of something else.

    >>> describe({}), describe(["a"]), describe(None), describe("a")
    ('a group of keys', 'a list', 'nothing', 'one value')
    """
    kinds = {dict: "a group of keys", list: "a list", type(None): "nothing"}
    return kinds.get(type(value), "one value")


def did_you_mean(written: str, valid: Iterable[str]) -> str | None:
    """Ask for the nearest valid word, if one is near.

    >>> did_you_mean("inteval", ["intervals", "orphans"])
    "did you mean 'intervals'?"
    """
    nearest = get_close_matches(written[:_LONGEST_SHOWN], valid, n=1, cutoff=0.5)
    return f"did you mean {nearest[0]!r}?" if nearest else None


def parse_duration(text: str) -> float:
    """Read a duration as Prometheus writes it, in seconds.

    >>> parse_duration("1h30m"), parse_duration("100ms"), parse_duration("0")
    (5400.0, 0.1, 0.0)
    >>> parse_duration("1 sec")
    Traceback (most recent call last):
    ValueError: '1 sec' is not a duration; write it like 30s, 5m or 1h30m
    """
    if text == "0":
        return 0.0
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(_not_a_duration(text))
    if len(text) > _LONGEST_SHOWN:  # int() takes no more than 4300 digits
        raise ValueError("the duration is longer than 292 years")
    milliseconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if milliseconds > _LONGEST_MS:
        raise ValueError(f"{show(text)} is longer than 292 years")
    return milliseconds / 1000


def _not_a_duration(text: str) -> str:
    """Say how to write what was probably meant."""
    if re.fullmatch("[0-9]{1,9}", text):
        return f"{show(text)} has no unit; write {text}s for seconds, or like 5m or 1h30m"
    if fraction := _FRACTION.fullmatch(text):
        number, unit = fraction.groups(default="s")
        whole = format_duration(max(0.001, float(number) * _UNITS[unit] / 1000))
        return f"{show(text)} is not a duration, which takes whole numbers; write {whole}"
    return f"{show(text)} is not a duration; write it like 30s, 5m or 1h30m"


def format_duration(seconds: float) -> str:
    """Write a duration (in seconds, not negative) as `parse_duration` reads it, to the millisecond.

    >>> format_duration(5400), format_duration(0.1), format_duration(0)
    ('1h30m', '100ms', '0s')
    """
    left = round(seconds * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_ratio(text: str) -> float:
    """Read a percentage, or a decimal fraction, as a ratio: 1% is 0.01.

    >>> parse_ratio("1%"), parse_ratio("2.5%"), parse_ratio("0.01")
    (0.01, 0.025, 0.01)
    >>> parse_ratio("1")
    Traceback (most recent call last):
    ValueError: '1' has no percent sign; write 1%, or a ratio like 0.01
    """
    if re.fullmatch("[0-9]{1,9}", text):  # 1 could be taken for 1% as well as for 100%
        raise ValueError(f"{show(text)} has no percent sign; write {text}%, or a ratio like 0.01")
    if len(text) > _LONGEST_SHOWN or not re.fullmatch(RATIO_PATTERN, text):
        raise ValueError(f"{show(text)} is not a percentage; write it like 1% or 0.01")
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def format_ratio(ratio: float) -> str:
    """Write a ratio as a percentage.

    >>> format_ratio(0.01), format_ratio(0.025), format_ratio(1)
    ('1%', '2.5%', '100%')
    """
    return f"{ratio * 100:.10g}%"


def parse_count(text: str) -> int:
    """Read a whole number that is not negative.

    >>> parse_count("20")
    20
    >>> parse_count("20.5")
    Traceback (most recent call last):
    ValueError: '20.5' is not a whole number
    """
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"{show(text)} is not a whole number")
    return int(text)


def parse_network(text: str) -> Network:
    """Read an address, a network, or `local` for the Unix socket.

    >>> parse_network("10.0.1.0/24"), parse_network("::1"), parse_network("local")
    (IPv4Network('10.0.1.0/24'), IPv6Network('::1/128'), 'local')
    """
    if text == "local":
        return "local"
    try:
        return ip_network(text)
    except ValueError:
        # Not from the error: its text quotes the value.
        raise ValueError(_not_a_network(text)) from None


def _not_a_network(text: str) -> str:
    """Say how to write what was probably meant."""
    try:
        meant = ip_interface(text)
    except ValueError:
        return (
            f"{show(text)} is not a client address; write an address like 10.0.1.5, "
            "a network like 10.0.1.0/24, or local for the Unix socket"
        )
    return (
        f"{show(text)} is an address inside a network; write {meant.network} for the network "
        f"or {meant.ip} for the one host"
    )


def split_address(text: str) -> tuple[str, int]:
    """Split an address to listen on into host (empty: every interface) and port.

    >>> split_address(":10432"), split_address("[::1]:9000"), split_address("localhost:0")
    (('', 10432), ('::1', 9000), ('localhost', 0))
    """
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch("[0-9]{1,5}", port):
        raise ValueError(f"{show(text)} has no port; write host:port or :port, like :10432")
    if int(port) > _MAX_PORT:
        raise ValueError(f"{show(text)} has a port above {_MAX_PORT}")
    return _bare_host(host, text), int(port)


def _bare_host(host: str, address: str) -> str:
    """Take the brackets off an IPv6 address, which cannot do without them."""
    if host.startswith("[") and host.endswith("]") and _is_ipv6(host[1:-1]):
        return host[1:-1]
    if _is_ipv6(host):
        raise ValueError(f"{show(address)} needs brackets; write [{host}]:port")
    if not re.fullmatch(r"[\w.-]*", host):
        raise ValueError(f"{show(address)} has no valid host; write host:port or :port")
    return host


def _is_ipv6(host: str) -> bool:
    """Say whether this is a bare IPv6 address."""
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False
