"""The selection of a dashboard's variables, put into every selector of an expression."""

import re
from collections.abc import Iterator
from typing import Final

from exporter.reference import entries

# What Prometheus itself knows of us.
_PROMETHEUS: Final = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"target", "client"}),
    # Only to be joined with those that were selected: when each of them became true.
    "ALERTS_FOR_STATE": frozenset[str](),
    "scrape_duration_seconds": frozenset[str](),
    "scrape_samples_scraped": frozenset[str](),
}
# What a histogram or summary calls its series.
_SUFFIX: Final = re.compile(r"_(bucket|count|sum|gcount|gsum)$")


def _declared() -> Iterator[tuple[str, frozenset[str]]]:
    for entry in entries():
        yield entry.metric.name, frozenset(entry.labels)


LABELS: Final = _PROMETHEUS | dict(_declared())

_NAME: Final = re.compile(
    rf"\b(?P<metric>(?:pgconn|process|python)_\w+|{'|'.join(_PROMETHEUS)})\b"
    r"(?P<brace>\{(?=(?P<own>[^}]*)))?"
)
_TARGET: Final = re.compile(r"\btarget\s*[=!]")

# An alert that is about no client is everybody's, and who is in a client's way is another one.
_OF_ALL_CLIENTS: Final = frozenset(
    {
        "ALERTS",
        "pgconn_root_blockers",
        "pgconn_root_blocker_victims",
        "pgconn_root_blocker_age_max_seconds",
    }
)


def labels_of(metric: str) -> frozenset[str]:
    """Give the labels that the exporter gives a series; KeyError where there is none."""
    return LABELS[metric] if metric in LABELS else LABELS[_SUFFIX.sub("", metric)]


def selecting(expr: str, *, clients: bool) -> str:
    """Select what was chosen on the dashboard with every metric of an expression.

    What says itself which targets it is about, as the server behind a PgBouncer, stays with them.

    >>> selecting("pgconn_up == 0", clients=False)
    'pgconn_up{job=~"$job", instance=~"$instance", target=~"$target"} == 0'
    >>> selecting('pgconn_up{target!=""}', clients=False)
    'pgconn_up{job=~"$job", instance=~"$instance", target!=""}'
    >>> "client" in selecting("pgconn_root_blockers", clients=True)
    False
    """

    def select(found: re.Match[str]) -> str:
        labels = labels_of(found["metric"])
        chosen = ["job", "instance"]
        if "target" in labels and not _TARGET.search(found["own"] or ""):
            chosen.append("target")
        if clients and "client" in labels and found["metric"] not in _OF_ALL_CLIENTS:
            chosen.append("client")
        matchers = ", ".join(f'{label}=~"${label}"' for label in chosen)
        end = ", " if found["brace"] else "}"
        return f"{found['metric']}{{{matchers}{end}"

    return _NAME.sub(select, expr)
