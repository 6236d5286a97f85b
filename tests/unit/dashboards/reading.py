"""What a dashboard's JSON says, in the parts that the checks are about."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from exporter.alerts.model import Dashboard
from tests.unit.alerts.promql import Labels, TrapError, labels_of

ROOT: Final = Path(__file__).parents[3]
RENDERED: Final = ROOT / "grafana" / "dashboards"
TEMPLATES: Final = ROOT / "exporter" / "dashboards" / "templates"

Document = Mapping[str, Any]
Check = Callable[[Document], Iterable[str]]
"""Gives what is wrong with a dashboard, each complaint with the panel's name before it."""

RATE_INTERVAL: Final = 67
"""What stands for `$__rate_interval`, in seconds: no other range is as long."""

SPANS: Final[Mapping[str, str]] = {
    "__rate_interval": f"{RATE_INTERVAL}s",
    "__interval": "15s",
    "__range": "1h",
}
VARIABLE: Final = re.compile(r"\$(?:\{(?P<braced>\w+)[^}]*\}|(?P<bare>[A-Za-z_]\w*))")
LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Query(NamedTuple):
    """What a panel asks for."""

    where: str
    letter: str
    expr: str
    """As PromQL: variables stay only in quotes."""
    legend: str


@cache
def read(folder: Path, dashboard: Dashboard) -> Document:
    """Give a dashboard as it is committed."""
    document: Document = json.loads((folder / f"{dashboard}.json").read_text(encoding="utf-8"))
    return document


def panels(dashboard: Document) -> list[Document]:
    """Give what stands below the headings of the rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def asking(dashboard: Document) -> list[Document]:
    """Give the panels that show data, which are all but texts."""
    return [panel for panel in panels(dashboard) if panel["type"] != "text"]


def called(panel: Document) -> str:
    """Give the words by which a person finds a panel."""
    return panel.get("title") or f"panel {panel.get('id')}"


def targets(panel: Document) -> Iterable[Document]:
    """Give a panel's queries as they stand there."""
    return panel.get("targets") or ()


def queries(panel: Document, dashboard: Document) -> list[Query]:
    """Give a panel's queries as Prometheus is asked them."""
    return [
        Query(
            f"{called(panel)} ({target['refId']})",
            target["refId"],
            as_promql(target.get("expr", ""), dashboard),
            target.get("legendFormat", ""),
        )
        for target in targets(panel)
    ]


def all_queries(dashboard: Document) -> Iterator[Query]:
    """Give the queries of all panels, and those of what is marked in the graphs."""
    yield from chain.from_iterable(queries(panel, dashboard) for panel in asking(dashboard))
    for mark in annotations(dashboard):
        texts = f"{mark.get('titleFormat', '')} {mark.get('textFormat', '')}"
        for expr in (mark.get("expr", ""), mark.get("target", {}).get("expr", "")):
            yield Query(f"annotation {mark['name']}", "", as_promql(expr, dashboard), texts)


def annotations(dashboard: Document) -> Iterable[Document]:
    """Give what is marked in the graphs."""
    return dashboard.get("annotations", {}).get("list") or ()


def variables(dashboard: Document) -> list[Document]:
    """Give the variables, in their order."""
    return list(dashboard["templating"]["list"])


def names_of_variables(dashboard: Document) -> set[str]:
    """Give the names of the variables."""
    return {variable["name"] for variable in variables(dashboard)}


def variables_in(text: str) -> set[str]:
    """Give the names of the variables that a text uses."""
    return {found["braced"] or found["bare"] for found in VARIABLE.finditer(text)}


def as_promql(expr: str, dashboard: Document) -> str:
    """Put what Grafana would into an expression, but for what stands in quotes."""
    values = dict(SPANS) | {
        variable["name"]: str(variable["current"]["value"])
        for variable in variables(dashboard)
        if variable["type"] == "custom"
    }

    def value(found: re.Match[str]) -> str:
        return values.get(found["braced"] or found["bare"]) or str(found[0])

    return VARIABLE.sub(value, expr)


@cache
def result_of(expr: str) -> Labels | str:
    """Give the labels of what an expression finds, or what is wrong with it."""
    try:
        return labels_of(expr)
    except (TrapError, ValueError) as error:
        return str(error)


def labels_in(expr: str) -> Labels | None:
    """Give the labels of what an expression finds; None where another check complains of it."""
    found = result_of(expr)
    return None if isinstance(found, str) else found


def options_of(panel: Document) -> Iterator[tuple[str, Document]]:
    """Give the options of a panel's fields, and those that some fields have instead, by whose."""
    config = panel.get("fieldConfig", {})
    yield "", config.get("defaults", {})
    for override in config.get("overrides") or ():
        properties = {each["id"]: each.get("value") for each in override["properties"]}
        yield str(override["matcher"]["options"]), properties


def transformation(panel: Document, kind: str) -> Document:
    """Give the options of a transformation; none where the panel has not got it."""
    done = panel.get("transformations") or ()
    return next((each["options"] for each in done if each["id"] == kind), {})


def columns(panel: Document) -> Mapping[str, str]:
    """Give the columns of a table: the titles by the fields that stand there."""
    renamed = transformation(panel, "organize").get("renameByName", {})
    kept = transformation(panel, "filterFieldsByName").get("include", {}).get("names", ())
    return {name: renamed.get(name, name) for name in kept}


def strings(part: object) -> Iterator[str]:
    """Give every text in a part of a dashboard."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping):
        yield from chain.from_iterable(map(strings, part.values()))
    elif isinstance(part, list):
        yield from chain.from_iterable(map(strings, part))
