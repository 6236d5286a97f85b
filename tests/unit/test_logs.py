"""The log: what a server or a client calls itself writes no line of its own."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from exporter.logs import LogFormat, LogLevel, configure

NAME = 'a "b" \\ \x1b[2J\r\x00\x9b\nlevel=info event=forged'


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the log to other tests as it was."""
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("form", list(LogFormat))
def test_one_line_without_control_characters(
    form: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a value holds, it stays one line that a terminal only shows."""
    configure(LogLevel.INFO, form)
    structlog.get_logger().warning("poll failed", error=NAME, count=3)
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert told[:-1].isprintable()


def test_json_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """In JSON, the value is read back as it was."""
    configure(LogLevel.INFO, LogFormat.JSON)
    structlog.get_logger().warning("poll failed", error=NAME)
    assert json.loads(capsys.readouterr().err)["error"] == NAME
