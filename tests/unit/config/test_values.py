"""Durations, ratios, networks and addresses, read and written."""

import doctest
import importlib
import re
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.values import (
    Replaced,
    format_duration,
    format_ratio,
    parse_count,
    parse_duration,
    parse_network,
    parse_ratio,
    show,
    split_address,
)


@pytest.mark.parametrize("module", ["values", "environment", "problems"])
def test_doctests(module: str) -> None:
    """The examples in the docstrings are true."""
    result = doctest.testmod(importlib.import_module(f"exporter.config.{module}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("5ms", 0.005),
        ("1m5ms", 60.005),
        ("1d", 86400),
        ("1y2w3d4h5m6s7ms", 31536000 + 14 * 86400 + 3 * 86400 + 4 * 3600 + 306.007),
        ("0s", 0),
        ("292y", 292 * 365 * 86400),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    """Durations are read as Prometheus reads them."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("30", "'30' has no unit; write 30s for seconds, or like 5m or 1h30m"),
        ("0.5", "'0.5' is not a duration, which takes whole numbers; write 500ms"),
        ("0.5s", "'0.5s' is not a duration, which takes whole numbers; write 500ms"),
        ("1.5 h", "'1.5 h' is not a duration, which takes whole numbers; write 1h30m"),
        ("0.0001s", "'0.0001s' is not a duration, which takes whole numbers; write 1ms"),
        ("1 sec", "'1 sec' is not a duration; write it like 30s, 5m or 1h30m"),
        ("1m1h", "'1m1h' is not a duration; write it like 30s, 5m or 1h30m"),
        ("-5s", "'-5s' is not a duration; write it like 30s, 5m or 1h30m"),
        ("5s\n", "'5s\\n' is not a duration; write it like 30s, 5m or 1h30m"),
        ("٣s", "'٣s' is not a duration; write it like 30s, 5m or 1h30m"),
        ("", "'' is not a duration; write it like 30s, 5m or 1h30m"),
        ("293y", "'293y' is longer than 292 years"),
        ("9" * 5000 + "s", "the duration is longer than 292 years"),
        ("1" * 5000, "the value is not a duration; write it like 30s, 5m or 1h30m"),
    ],
)
def test_no_duration(text: str, words: str) -> None:
    """What is no duration is told with what to write instead."""
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parse_duration(text)


@settings(deadline=None)
@given(st.integers(0, 9 * 10**12))
def test_durations_come_back(milliseconds: int) -> None:
    """A duration that was written is read as the same one."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_ratios_come_back(hundredths: int) -> None:
    """A ratio that was written is read as the same one."""
    assert parse_ratio(format_ratio(hundredths / 10_000)) == pytest.approx(hundredths / 10_000)


@pytest.mark.parametrize("text", ["", "%", "-1%", "1 %", "one", "1e-2", ".5", "nan", "9" * 5000])
def test_no_ratio(text: str) -> None:
    """What is no percentage is refused."""
    with pytest.raises(ValueError, match="is not a percentage; write it like 1%"):
        parse_ratio(text)


def test_ratio_without_percent_sign() -> None:
    """A whole number could be a percentage or a ratio, so it is neither."""
    with pytest.raises(ValueError, match="'5' has no percent sign; write 5%"):
        parse_ratio("5")


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1_000", " 1", "0x10", "٣", "9" * 5000])
def test_no_count(text: str) -> None:
    """What is no whole number is refused, however Python would read it."""
    with pytest.raises(ValueError, match="is not a whole number"):
        parse_count(text)


@pytest.mark.parametrize("text", ["10.0.1.0/24", "10.0.1.5", "::1", "2001:db8::/32", "0.0.0.0/0"])
def test_network(text: str) -> None:
    """Addresses and networks of both families are read."""
    assert parse_network(text) == ip_network(text)


@pytest.mark.parametrize("text", ["10.0.1", "db.internal", "10.0.0.0/33", "", "5", "Local"])
def test_no_network(text: str) -> None:
    """A host's name is not an address: the server knows no names."""
    with pytest.raises(ValueError, match="is not a client address; write an address like"):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.1.5/24", "write 10.0.1.0/24 for the network or 10.0.1.5 for the one host"),
        ("2001:db8::1/32", "write 2001:db8::/32 for the network or 2001:db8::1 for the one host"),
    ],
)
def test_host_bits(text: str, words: str) -> None:
    """A network with host bits set is told the network that was meant."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_network(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (":10432", ("", 10432)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::]:65535", ("::", 65535)),
        ("my-host.internal:0", ("my-host.internal", 0)),
    ],
)
def test_address(text: str, parts: tuple[str, int]) -> None:
    """Addresses to listen on are split into host and port."""
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10432", "has no port"),
        ("", "has no port"),
        ("localhost:", "has no port"),
        ("localhost:http", "has no port"),
        (":65536", "has a port above 65535"),
        (":" + "1" * 5000, "has no port"),
        ("::1:9000", "needs brackets; write [::1]:port"),
        ("[localhost]:1", "has no valid host"),
        ("http://localhost:1", "has no valid host"),
        ("a b:1", "has no valid host"),
    ],
)
def test_no_address(text: str, words: str) -> None:
    """What is no address to listen on is told what is missing."""
    with pytest.raises(ValueError, match=re.escape(words)):
        split_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://user:hunter2@host/db",
        "host=db password=hunter2",
        "user:hunter2@host",
        "MyPassword",
        "x" * 100,
    ],
)
def test_show_hides(text: str) -> None:
    """A value that may be a secret in the wrong place is not quoted."""
    assert show(text) == "the value"


def test_show_environment() -> None:
    """Of a value from the environment, only its variable is quoted."""
    assert show(Replaced("hunter2", "${COUNT}")) == "'${COUNT}'"
