"""How many sessions are active: the mean over a moment, or as the alert takes it."""

from typing import Final

from grafana.src.shared import OTHERS, added_up

_ACTIVE: Final = f'pgconn_session_seconds_total{{state="active", {OTHERS}}}'


def active(labels: str, offset: str = "") -> str:
    """Give the average number of active sessions, by some labels."""
    return added_up(labels, f"rate({_ACTIVE}[$__rate_interval]{offset})")


def ten_minutes(labels: str) -> str:
    """Give the same over ten minutes, as the alert takes it."""
    return added_up(labels, f"increase({_ACTIVE}[10m]) / 600")
