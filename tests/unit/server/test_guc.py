"""Times in settings: read as the server reads them, which tests/integration asks."""

import pytest

from exporter.server.guc import parse_integer
from tests.unit.server.times import MILLISECONDS, SECONDS


@pytest.mark.parametrize(("text", "number"), MILLISECONDS.items())
def test_milliseconds(text: str, number: int | None) -> None:
    """Units, fractions, hexadecimal, octal and white space are those of guc.c."""
    assert parse_integer(text, "ms") == number


@pytest.mark.parametrize(("text", "number"), SECONDS.items())
def test_seconds(text: str, number: int | None) -> None:
    """The same units are converted to seconds."""
    assert parse_integer(text, "s") == number


def test_a_count_has_no_unit() -> None:
    """tcp_keepalives_count takes a number alone."""
    assert parse_integer(" 9 ", None) == 9
    assert parse_integer("9s", None) is None
