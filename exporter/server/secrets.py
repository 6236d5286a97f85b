"""What no message may quote: the secrets of a connection, though a server should send them back."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import psycopg
from psycopg.pq.abc import PGconn

_MASK: Final = "***"
# Shorter ones are looked for as words only: they would be found everywhere.
_SHORT: Final = 4

# libpq's mark of what is not to be shown: passwords of whatever kind.
_HIDDEN: Final = b"*"
_OPTION_VALUE: Final = re.compile(r"=(\S+)")


def secrets_of(connection: PGconn | None) -> frozenset[str]:
    """Give the secrets of a connection, made or failed, wherever libpq took them from.

    What stands in clear in its address or in its user's name anyway is none.
    """
    try:
        options = connection.info if connection is not None else []
    except psycopg.Error:  # it was closed
        return frozenset()
    given = {option.keyword: option for option in options if option.val}
    secrets, plain = set[str](), list[str]()
    for option in given.values():
        value = (option.val or b"").decode("utf-8", "replace")
        found = set(_secrets(option.keyword, value, hidden=option.dispchar == _HIDDEN))
        secrets |= found
        plain += [] if found else [value]
    return frozenset(secret for secret in secrets if not any(secret in text for text in plain))


def _secrets(keyword: bytes, value: str, *, hidden: bool) -> Iterator[str]:
    """Yield what is secret of one parameter of a connection."""
    if hidden or (keyword == b"sslkey" and ":" in value):  # not a file, but a token with its PIN
        yield value
    elif keyword == b"options":
        yield from (found[1] for found in _OPTION_VALUE.finditer(value))


def without_secrets(message: str, secrets: Iterable[str]) -> str:
    """Put stars for each secret in a message.

    >>> without_secrets("you sent hunter2, hunter22", ["hunter2", "hunter22"])
    'you sent ***, ***'
    >>> without_secrets("connection to b failed", ["b"])
    'connection to *** failed'
    """
    longest_first = sorted(secrets, key=len, reverse=True)
    if not longest_first:
        return message
    return re.sub("|".join(map(_pattern, longest_first)), _MASK, message)


def _pattern(secret: str) -> str:
    text = re.escape(secret)
    return text if len(secret) >= _SHORT else rf"(?<!\w){text}(?!\w)"
