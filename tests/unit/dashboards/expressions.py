"""Whether what is asked for exists, and whether what is found can be shown as it is meant to be."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from tests.unit.dashboards.reading import (
    LABEL,
    SPANS,
    Check,
    Document,
    all_queries,
    asking,
    called,
    columns,
    labels_in,
    names_of_variables,
    options_of,
    panels,
    queries,
    result_of,
    strings,
    targets,
    transformation,
    variables_in,
)

# What Grafana itself puts in, beside the variables of a dashboard.
BUILT_IN: Final = {*SPANS, "__field", "__data", "__value", "__url_time_range"}
TRANSFORMED: Final = {"merge", "filterFieldsByName", "organize"}
TOLD_BY: Final = {
    "queryid": {"query", "statement"},
    "wait_event": {"wait"},
    "wait_event_type": {"wait"},
}
"""What a person reads instead of a label."""
UNNAMED: Final = {"table", "heatmap"}
"""Panels whose series have no names."""


def sound(dashboard: Document) -> Iterator[str]:
    """Insist that metrics and labels exist, sides can match, and nothing divides by 0."""
    for query in all_queries(dashboard):
        found = result_of(query.expr)
        if isinstance(found, str):
            yield f"{query.where}: {found}"


def declared_variables(dashboard: Document) -> Iterator[str]:
    """Insist that a variable that is used is there, and one that is there is used."""
    declared = names_of_variables(dashboard)
    for panel in dashboard["panels"]:
        used = set(chain.from_iterable(map(variables_in, strings(panel))))
        for name in sorted(used - declared - BUILT_IN):
            yield f"{called(panel)}: there is no ${name}"
    asked = [target for panel in panels(dashboard) for target in targets(panel)]
    everywhere = set(chain.from_iterable(map(variables_in, strings(asked))))
    for name in sorted(declared - everywhere):
        yield f"${name}: no panel uses it"


def labels_of_legends(dashboard: Document) -> Iterator[str]:
    """Insist that series are called by labels that they have."""
    for query in all_queries(dashboard):
        labels = labels_in(query.expr)
        for name in LABEL.findall(query.legend) if labels else ():
            if labels and name not in labels.names:
                yield f"{query.where}: its legend names {name}, which is no label of the result"


def telling_legends(dashboard: Document) -> Iterator[str]:
    """Insist that no two series of a panel are called the same."""
    for panel in asking(dashboard):
        if panel["type"] in UNNAMED:
            continue
        asked = queries(panel, dashboard)
        for legend, count in Counter(query.legend for query in asked).items():
            if count > 1:
                yield f"{called(panel)}: {count} queries have the legend {legend!r}"
        for query in asked:
            labels = labels_in(query.expr)
            if not query.legend.strip() or query.legend == "__auto":
                yield f"{query.where}: has no legend"
            for name in sorted(_untold(labels.key, LABEL.findall(query.legend)) if labels else ()):
                yield f"{query.where}: its legend does not tell series apart by {name}"


def form(dashboard: Document) -> Iterator[str]:
    """Insist that a query is asked as its panel shows it, for now or over time."""
    for panel in asking(dashboard):
        kind = panel["type"]
        formats = {"table": "table", "heatmap": "heatmap"}
        for target in targets(panel):
            where = f"{called(panel)} ({target['refId']})"
            if target.get("format") != formats.get(kind, "time_series"):
                yield f"{where}: {kind} is asked for as {target.get('format')}"
            if bool(target.get("instant")) == bool(target.get("range")):
                yield f"{where}: is not asked for either now or over time"
            if kind == "table" and not target.get("instant"):
                yield f"{where}: a table has a row for each point in time"
            if kind in {"timeseries", "heatmap", "state-timeline"} and not target.get("range"):
                yield f"{where}: a graph has one point only"


def buckets(dashboard: Document) -> Iterator[str]:
    """Insist that a heatmap has the buckets of one histogram."""
    for panel in asking(dashboard):
        for query in queries(panel, dashboard) if panel["type"] == "heatmap" else ():
            labels = labels_in(query.expr)
            if labels and labels.key != {"le"}:
                yield f"{query.where}: is by {sorted(labels.key)}, not by le alone"


def same_rows(dashboard: Document) -> Iterator[str]:
    """Insist on the same labels in a table, or Grafana merges no two answers into a row."""
    for panel in asking(dashboard):
        if panel["type"] != "table":
            continue
        found = {query.where: labels_in(query.expr) for query in queries(panel, dashboard)}
        names = {where: labels.names for where, labels in found.items() if labels}
        first = next(iter(names.values()), frozenset[str]())
        for where, labels in names.items():
            if labels != first:
                yield f"{where}: {', '.join(sorted(labels ^ first))} is not in all queries"
        if len(found) > 1 and not any(
            each["id"] == "merge" for each in panel.get("transformations") or ()
        ):
            yield f"{called(panel)}: the answers are not merged"


def existing_columns(dashboard: Document) -> Iterator[str]:
    """Insist that columns are of the answers, and what tells rows apart is among them."""
    for panel in asking(dashboard):
        where, shown = called(panel), columns(panel)
        if panel["type"] == "table" and not shown:
            yield f"{where}: shows whatever the answers have"
        if panel["type"] != "table":
            continue
        fields, key = _fields(panel, dashboard)
        for name in sorted(set(shown) - fields):
            yield f"{where}: no answer has {name!r}"
        for name in sorted(_untold(key, shown)):
            yield f"{where}: rows are not told apart by {name}"
        for name in sorted(fields - set(shown)):
            if name.startswith("Value"):
                yield f"{where}: {name!r} is asked for, and not shown"


def _untold(key: Iterable[str], told: Iterable[str]) -> set[str]:
    """Give the labels that tell series apart, and that nobody sees."""
    seen = set(told)
    return {name for name in key if not seen & ({name} | TOLD_BY.get(name, set()))}


def _fields(panel: Document, dashboard: Document) -> tuple[set[str], set[str]]:
    """Give what a table's answers have, and the labels that tell its rows apart."""
    asked = queries(panel, dashboard)
    found = [labels for query in asked if (labels := labels_in(query.expr))]
    values = {f"Value #{query.letter}" for query in asked} if len(asked) > 1 else {"Value"}
    names = set(chain.from_iterable(labels.names for labels in found))
    return values | names, set(chain.from_iterable(labels.key for labels in found))


def known_transformations(dashboard: Document) -> Iterator[str]:
    """Insist that what is arranged, dressed and ordered are columns that are there."""
    for panel in asking(dashboard):
        where, shown = called(panel), columns(panel)
        for each in panel.get("transformations") or ():
            if each["id"] not in TRANSFORMED:
                yield f"{where}: these checks do not know what {each['id']} does"
        organized = transformation(panel, "organize")
        named = {*organized.get("renameByName", {}), *organized.get("indexByName", {})}
        for name in sorted(named - set(shown)):
            yield f"{where}: {name!r} is arranged, and not there"
        for title, count in Counter(shown.values()).items():
            if count > 1:
                yield f"{where}: {count} columns are called {title!r}"
        for title in sorted(_titles(panel) - set(shown.values())):
            yield f"{where}: there is no column {title!r}"


def _titles(panel: Document) -> set[str]:
    """Give the titles by which a table is ordered and its columns are dressed."""
    if panel["type"] != "table":
        return set()
    order = {each["displayName"] for each in panel["options"].get("sortBy") or ()}
    return order | {title for title, _ in options_of(panel) if title}


EXPRESSIONS: Final[tuple[Check, ...]] = (
    sound,
    declared_variables,
    labels_of_legends,
    telling_legends,
    form,
    buckets,
    same_rows,
    existing_columns,
    known_transformations,
)
