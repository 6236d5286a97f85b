"""What several dashboards select, and how much of it a person can take in."""

from typing import Final

OTHERS: Final = 'client!="pgconn-exporter"'
"""Matches all clients but ourselves."""

RESTING: Final = f'state=~"idle in transaction.*|prepared", {OTHERS}'
"""Matches who holds locks and does nothing."""

LINES: Final = 20
"""As many lines as a person can tell apart, where there are many targets."""
