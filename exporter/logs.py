"""The log: logfmt or JSON on standard error, constant events with key=value."""

import logging
import sys
from enum import StrEnum

import structlog


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
    render = (
        structlog.processors.JSONRenderer()
        if form is LogFormat.JSON
        else structlog.processors.LogfmtRenderer(key_order=["ts", "level", "event"])
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level.value),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
