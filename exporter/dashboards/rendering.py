"""Dashboards as Grafana's JSON, with thresholds filled in: the same ones as in the alerts."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import Options, filled

Document = Mapping[str, Any]

NAMES: Final[Mapping[str, Dashboard]] = {each.removeprefix("pgconn-"): each for each in Dashboard}
"""The dashboards by the short names that a person gives, in the order of an incident."""

_RUNBOOKS: Final = "@{runbooks}"
_WHOLE: Final = re.compile(r'"@\{\w+\}"')


def rendered(dashboard: Dashboard, options: Options) -> Document:
    """Give a dashboard of Grafana's classic model (`schemaVersion` 42)."""
    document: Document = json.loads(_fill(_template(dashboard), options))
    return document


def _template(dashboard: Dashboard) -> str:
    file = files("exporter.dashboards") / "templates" / f"{dashboard}.json"
    return file.read_text(encoding="utf-8")


def _fill(template: str, options: Options) -> str:
    """Fill thresholds in: as a number where one is a value, in its digits within a text.

    >>> _fill('{"value": "@{slots_high}", "expr": "x > @{slots_high}"}', Options())
    '{"value": 0.8, "expr": "x > 0.8"}'
    """
    addressed = template.replace(_RUNBOOKS, options.runbooks.rstrip("/"))
    numbers = _WHOLE.sub(lambda found: filled(found[0][1:-1], options), addressed)
    return filled(numbers, options)


OLDEST_GRAFANA: Final = "12.0.0"
"""Its dashboards have our `schemaVersion`, 42: the last one of the classic model."""


def importable(dashboard: Dashboard, options: Options) -> Document:
    """Give a dashboard with what Grafana asks of one from elsewhere: which plugins it needs."""
    document = rendered(dashboard, options)
    kinds = sorted({panel["type"] for panel in document["panels"]} - {"row"})
    needed = [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": OLDEST_GRAFANA},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
    ]
    return {"__requires": needed, "id": None, **document}


def to_json(document: Document) -> str:
    """Write a dashboard as JSON, its keys in their order."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
