"""Which panels an incident has to show: all of them are seen with data somewhere."""

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.alerts.model import Dashboard

Titles = tuple[str, ...]


def seen(titles: Iterable[str], unseen: Titles) -> list[str]:
    """Give the titles of a dashboard but some; KeyError where it has none of a name.

    >>> seen(["Slots used", "Root blockers"], ("Root blockers",))
    ['Slots used']
    """
    every = list(titles)
    if unknown := set(unseen) - set(every):
        raise KeyError(f"no panel {sorted(unknown)}; there are {every}")
    return [title for title in every if title not in unseen]


SINCE_14: Final[Mapping[Dashboard, Titles]] = {
    Dashboard.CONNECTIONS: ("Sessions whose client vanished", "Sessions that the server ended"),
    Dashboard.LOAD: ("Statistics began", "Evicted"),
}
"""Panels of what PostgreSQL 13 does not tell."""

_ORPHANS: Final = ("Orphaned connections, and what to do", "Orphans by reason")
_SET_UP: Final = ("CONNECTION LIMIT used", "Replication slots")
_HOG: Final = "Holder of most slots"
_UNBLOCKED: Final = ("Longest query: victims", "Slow queries")

SHOWN: Final[Mapping[str, Mapping[Dashboard, Titles]]] = {
    "one-lock": {
        Dashboard.INCIDENT: (_HOG, "Longest wait in PgBouncer", "Slowest statements"),
        Dashboard.BLOCKING: ("Victims of working root blockers",),
        Dashboard.LOAD: ("Longest query: culprits", "Slow queries"),
    },
    "connection-loop": {
        Dashboard.INCIDENT: ("Longest wait in PgBouncer", "Root blockers", "Slowest statements"),
        Dashboard.CONNECTIONS: (*_ORPHANS, *_SET_UP),
    },
    "burst-of-refusals": {
        Dashboard.INCIDENT: (_HOG, "Longest wait in PgBouncer", "Root blockers"),
        Dashboard.CONNECTIONS: (*_ORPHANS, *_SET_UP),
    },
    "timeout-mismatch": {
        Dashboard.INCIDENT: (_HOG, "Longest wait in PgBouncer", "Root blockers"),
        Dashboard.CONNECTIONS: _SET_UP,
        Dashboard.LOAD: _UNBLOCKED,
        Dashboard.EXPORTER: ("Polls that fail, by reason",),
    },
    "killed-workers": {
        Dashboard.INCIDENT: (_HOG, "Longest wait in PgBouncer", "Root blockers"),
        Dashboard.CONNECTIONS: _SET_UP,
    },
    "flood": {
        Dashboard.INCIDENT: (_HOG, "Longest wait in PgBouncer", "Root blockers"),
        Dashboard.LOAD: _UNBLOCKED,
        Dashboard.EXPORTER: ("Polls that fail, by reason",),
    },
    "pool-saturation": {
        Dashboard.INCIDENT: (_HOG, "Root blockers", "Slowest statements"),
        Dashboard.PGBOUNCER: ("Paused databases",),
    },
    "major-upgrade": {
        Dashboard.CONNECTIONS: (*_ORPHANS, "CONNECTION LIMIT used"),
        Dashboard.EXPORTER: (),
    },
    "bad-night": {**dict.fromkeys(Dashboard, ()), Dashboard.INCIDENT: (_HOG,)},
}
"""The dashboards on which an incident is seen, each with the panels that it has nothing for."""
