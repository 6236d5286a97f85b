"""The dashboards as they are shipped, as far as tests look into them: panels and their queries."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import Options
from exporter.alerts.units import Unit, parse_number
from exporter.dashboards.rendering import rendered

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """A query of a panel: its letter, and what Grafana makes of the answer."""

    ref: str
    expr: str
    legend: str
    instant: bool
    shape: str
    """time_series, table or heatmap."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What stands in a dashboard's grid, without the headings of its rows."""

    title: str
    kind: str
    targets: tuple[Target, ...]
    transformations: tuple[Json, ...]
    json: Json
    """All that is said of it."""
    interval: float = 0
    """Least seconds between two points, if it has its own."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that can be chosen; `everything` is what stands for All, empty where none does."""

    name: str
    many: bool
    everything: str
    query: str = ""
    """What asks the data source for its values."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A dashboard."""

    uid: Dashboard
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...]
    annotations: tuple[Target, ...]
    json: Json
    """All that is said of it."""

    def asking(self) -> dict[str, Panel]:
        """Return the panels that ask for data, by title."""
        return {panel.title: panel for panel in self.panels if panel.targets}


def shipped(options: Options | None = None) -> dict[Dashboard, Shown]:
    """Give all dashboards, with their own thresholds or those of `options`."""
    return {uid: parsed(uid, rendered(uid, options or Options())) for uid in Dashboard}


def parsed(uid: Dashboard, document: Json) -> Shown:
    """Read a dashboard of Grafana's classic model."""
    return Shown(
        uid,
        tuple(map(_panel, (each for each in document["panels"] if each["type"] != "row"))),
        tuple(map(_variable, document["templating"]["list"])),
        tuple(_annotations(document)),
        document,
    )


def _panel(panel: Json) -> Panel:
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        targets=tuple(map(_target, panel.get("targets", ()))),
        transformations=tuple(panel.get("transformations", ())),
        json=panel,
        interval=parse_number(panel["interval"], Unit.SECONDS) if "interval" in panel else 0,
    )


def _target(target: Json) -> Target:
    return Target(
        ref=target["refId"],
        expr=target["expr"],
        legend=target.get("legendFormat", ""),
        instant=target.get("instant", False),
        shape=target.get("format", "time_series"),
    )


def _variable(variable: Json) -> Variable:
    many = variable.get("multi", False) or variable.get("includeAll", False)
    query = variable["query"] if variable["type"] == "query" else ""
    return Variable(variable["name"], many, variable.get("allValue", ""), query)


def _annotations(document: Json) -> Iterator[Target]:
    for each in document.get("annotations", {}).get("list", ()):
        if "target" in each:
            yield _target(each["target"] | {"refId": each["name"]})
