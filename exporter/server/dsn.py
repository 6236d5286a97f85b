"""What is wrong with a connection string, in words that never quote it.

libpq's own messages repeat the piece that they stumbled over, which may be the password.
"""

import re
from collections.abc import Iterator
from typing import Final

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict

_SCHEMES: Final = ("postgresql://", "postgres://")
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_MAX_PORT: Final = 65535
_UNKNOWN: Final = "is not a connection string that libpq can parse"

# The fixed part of libpq's message, and what we say instead.
_WORDS: Final = (
    ("unexpected spaces", "has a space in its URI; write %20 for it"),
    ("percent-encoded token", "has a '%' without two hex digits behind it; write %25 for it"),
    ("forbidden value %00", "has a %00 in it, which no value may hold"),
    ('matching "]"', "has an IPv6 address without its closing ']'"),
    ("IPv6 host address", "has an IPv6 address that is not closed or is empty"),
    ("unexpected character", "has something unexpected behind its host"),
    ("invalid URI query parameter", "has a parameter after its '?' that libpq does not know"),
    ("separator", "has a parameter after its '?' that is not written key=value"),
    ('missing "="', "is neither a postgresql:// URI nor key=value pairs"),
    ("unterminated quoted string", "has a quote that is not closed"),
    ("invalid connection option", "has a key that libpq does not know"),
)


def check_dsn(dsn: str) -> str | None:
    """Return what is wrong with a connection string, or None; never quotes a part of it.

    Accepts what libpq accepts: postgresql:// URIs, key=value pairs, `service=NAME`.
    Connects to nothing and reads no file.
    """
    return next(_faults(dsn), None)


def _faults(dsn: str) -> Iterator[str]:
    """Yield what is wrong, the most telling first."""
    if not dsn.strip():
        yield "is empty; write postgresql:// to take everything from libpq's PG* variables"
    if _has_control_character(dsn):
        yield "has a line break or another control character in it"
    if _cut_in_two(dsn):
        yield "has an '@' behind its first '/'; write %2F for a '/' in a password, %40 for an '@'"
    try:
        parameters = conninfo_to_dict(dsn)
    except (Error, UnicodeError) as error:
        yield _reword(dsn, str(error))
    else:
        yield from _value_faults({key: str(value) for key, value in parameters.items()})


def _has_control_character(dsn: str) -> bool:
    """Say whether libpq would cut the string, or take a line break for a part of a name."""
    return "\0" in dsn or (dsn.startswith(_SCHEMES) and any(char < " " for char in dsn))


def _cut_in_two(dsn: str) -> bool:
    """Say whether libpq takes the second half of a password for the name of a database."""
    authority, _, path = dsn.partition("://")[2].partition("/")
    return dsn.startswith(_SCHEMES) and "@" not in authority and "@" in path.partition("?")[0]


def _reword(dsn: str, message: str) -> str:
    """Say what libpq's message means, without its quotations."""
    if "://" in dsn.partition("=")[0] and not dsn.startswith(_SCHEMES):
        return "has a scheme that is neither postgresql:// nor postgres://"
    return next((words for part, words in _WORDS if part in message), _UNKNOWN)


def _value_faults(parameters: dict[str, str]) -> Iterator[str]:
    """Yield what libpq would only find out when it connects."""
    if "@" in parameters.get("host", "") and "/" not in parameters["host"]:
        yield "has an '@' in its host; write %40 for one in the user or the password"
    hosts = (parameters.get("host") or parameters.get("hostaddr", "")).split(",")
    ports = parameters.get("port", "").split(",")
    if not all(_is_port(port) for port in ports):
        yield "has a port that is not a number from 1 to 65535"
    if len(ports) > 1 and len(ports) != len(hosts):
        yield "lists a different number of hosts and of ports"
    if (parameters.get("sslmode") or "prefer") not in _SSL_MODES:
        yield f"has an sslmode that is none of {', '.join(_SSL_MODES)}"


def _is_port(port: str) -> bool:
    """Say whether libpq would take this as a port; an empty one is the default port."""
    digits = port.strip()
    return not digits or (
        bool(re.fullmatch("[0-9]{1,5}", digits)) and 1 <= int(digits) <= _MAX_PORT
    )
