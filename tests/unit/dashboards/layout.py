"""Where panels stand, and by what they are known."""

import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, groupby
from typing import Any, Final

from exporter.alerts.model import Dashboard
from tests.unit.dashboards.reading import Check, Document, called

COLUMNS: Final = 24
NARROWEST: Final = 3
TAG: Final = "pgconn"


def schema(dashboard: Document) -> Iterator[str]:
    """Insist that Grafana need not migrate it, and finds it by its uid and tag."""
    if dashboard.get("schemaVersion") != 42:
        yield f"dashboard: schemaVersion is {dashboard.get('schemaVersion')}"
    if dashboard.get("uid") not in set(Dashboard):
        yield f"dashboard: no alert knows the uid {dashboard.get('uid')!r}"
    if TAG not in dashboard.get("tags", ()):
        yield f"dashboard: has no tag {TAG!r}"


def ids(dashboard: Document) -> Iterator[str]:
    """Insist that an id hangs on uid and title alone: links to a panel outlive its place."""
    for panel in dashboard["panels"]:
        row = ["row"] if panel["type"] == "row" else []
        name = "/".join((dashboard["uid"], *row, panel.get("title", "")))
        if panel.get("id") != 1 + zlib.crc32(name.encode()) % 1_000_000:
            yield f"{called(panel)}: the id {panel.get('id')} is not that of {name!r}"
    for name in ("id", "title"):
        found = Counter((panel[name], panel["type"] == "row") for panel in dashboard["panels"])
        if name == "id":
            found = Counter((panel[name], False) for panel in dashboard["panels"])
        for (value, _), count in found.items():
            if count > 1:
                yield f"dashboard: {count} panels have the {name} {value!r}"


def open_rows(dashboard: Document) -> Iterator[str]:
    """Insist that a heading hides nothing, and goes from side to side."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row" and (panel.get("collapsed") or panel.get("panels")):
            yield f"{called(panel)}: hides its panels"
        if panel["type"] == "row" and _place(panel)[::2] != (0, COLUMNS):
            yield f"{called(panel)}: is a heading of not the whole width"


def overlaps(dashboard: Document) -> Iterator[str]:
    """Insist that nothing stands on something else."""
    for one, other in combinations(dashboard["panels"], 2):
        (x, y, w, h), (left, top, width, height) = _place(one), _place(other)
        if x < left + width and left < x + w and y < top + height and top < y + h:
            yield f"{called(one)}: overlaps {called(other)}"


def widths(dashboard: Document) -> Iterator[str]:
    """Insist that panels are wide enough to be read, and within the screen."""
    for panel in dashboard["panels"]:
        x, _, width, _ = _place(panel)
        if x < 0 or x + width > COLUMNS:
            yield f"{called(panel)}: sticks out"
        if width < NARROWEST:
            yield f"{called(panel)}: is narrow"


def lines(dashboard: Document) -> Iterator[str]:
    """Insist that a line of panels leaves no hole, and ends where the next one begins."""
    below = 0
    for y, line in groupby(sorted(dashboard["panels"], key=_top), key=_top):
        standing = list(line)
        where, places = called(standing[0]), list(map(_place, standing))
        if y != below:
            yield f"{where}: its line begins at {y}, not at {below}"
        if (width := sum(place[2] for place in places)) != COLUMNS:
            yield f"{where}: its line is {width} columns wide"
        heights = {place[3] for place in places}
        if len(heights) > 1:
            yield f"{where}: its line has panels of heights {sorted(heights)}"
        below = y + max(heights)


def _place(panel: Document) -> tuple[int, int, int, int]:
    place: dict[str, Any] = panel["gridPos"]
    return place["x"], place["y"], place["w"], place["h"]


def _top(panel: Document) -> int:
    return _place(panel)[1]


LAYOUT: Final[tuple[Check, ...]] = (schema, ids, open_rows, overlaps, widths, lines)
