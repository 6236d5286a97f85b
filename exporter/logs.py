"""The log: logfmt or JSON on standard error, constant events with key=value."""

import logging
import sys
from enum import StrEnum
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

# What a terminal would obey, of names and of words that come from a server. JSON escapes it.
_CONTROL: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"
}


class LogFormat(StrEnum):
    """How a line of the log is written."""

    LOGFMT = "logfmt"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on lines are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def configure(level: LogLevel, form: LogFormat) -> None:
    """Set the log up; libraries are heard only when something is wrong."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, force=True)
    render: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if form is LogFormat.JSON
        else [
            without_control,
            structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"]),
        ]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def without_control(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    r"""Write the control characters of every value as PostgreSQL writes a client's: `\x1b`."""
    del logger, method
    return {
        key: value.translate(_CONTROL) if isinstance(value, str) else value
        for key, value in event.items()
    }
