"""Which panels an incident has to show, and where what they prefer to show has to be there.

All of them are seen with data somewhere, and so is the left side of each `or` in their queries.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from exporter.alerts.model import Dashboard

Titles = tuple[str, ...]
Letters = Mapping[str, str]
"""Letters of queries, by the title of their panel."""


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

BAD_NIGHT: Final = "bad-night"

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
    BAD_NIGHT: {**dict.fromkeys(Dashboard, ()), Dashboard.INCIDENT: (_HOG,)},
}
"""The dashboards on which an incident is seen, each with the panels that it has nothing for."""

ELSEWHERE: Final[Mapping[str, Mapping[Dashboard, Letters]]] = {
    "connection-loop": {Dashboard.INCIDENT: {"Full in": "A", _HOG: "A"}},
    "timeout-mismatch": {Dashboard.LOAD: {"Slowest statements": "C"}},
    "major-upgrade": {Dashboard.CONNECTIONS: {"Replication slots": "C"}},
}
"""Queries that prefer to show what no bad night has, but another incident."""

NOWHERE: Final[Mapping[Dashboard, Letters]] = {
    # transaction_timeout: the PgBouncer that is fetched is older than 1.25.
    Dashboard.PGBOUNCER: {"Timeouts of PgBouncer": "C"},
}
"""Queries that prefer to show what cannot be staged here."""

TIMEOUTS_SINCE: Final[Mapping[int, Mapping[Dashboard, Letters]]] = {
    14: {
        Dashboard.EXPORTER: {
            "Timeouts that do not fit their client": "D",
            "Timeouts in force": "DF",
            "When a vanished client is noticed": "B",
        }
    },
    17: {Dashboard.EXPORTER: {"Timeouts in force": "B"}},
}
"""Queries that prefer to show a timeout which older servers do not have."""


def preferring(incident: str, version: int, uid: Dashboard, title: str, letter: str) -> bool:
    """Tell whether an incident has to have what a query of a panel prefers to show.

    >>> preferring("connection-loop", 18, Dashboard.INCIDENT, "Full in", "A")
    True
    >>> preferring(BAD_NIGHT, 18, Dashboard.INCIDENT, "Full in", "A")
    False
    >>> [preferring(BAD_NIGHT, n, Dashboard.EXPORTER, "Timeouts in force", "B") for n in (16, 17)]
    [False, True]
    """
    if incident != BAD_NIGHT:
        return letter in ELSEWHERE.get(incident, {}).get(uid, {}).get(title, "")
    newer = (letters for since, letters in TIMEOUTS_SINCE.items() if version < since)
    others = (NOWHERE, *ELSEWHERE.values(), *newer)
    return not any(letter in each.get(uid, {}).get(title, "") for each in others)
