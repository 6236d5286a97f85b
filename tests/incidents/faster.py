"""What is shipped, where a minute takes two seconds: intervals are shortened, facts are not."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, Final

from exporter.alerts import Group, Rule
from exporter.alerts.thresholds import THRESHOLDS, Values
from exporter.alerts.units import Unit, parse_number, words

FACTOR: Final = 30
"""How much faster Prometheus and Alertmanager are than with the rules as shipped."""

_WINDOW = re.compile(r"(?<=[\[:])(\d+\w+)(?=[\]:])|(?<=offset )(\d+\w+)")


def shortened(duration: str) -> str:
    """Shorten a duration of Prometheus.

    >>> shortened("2m"), shortened("10s"), shortened("")
    ('4s', '333ms', '')
    """
    return words(parse_number(duration, Unit.SECONDS) / FACTOR, Unit.SECONDS) if duration else ""


def faster(group: Group) -> Group:
    """Shorten all that is a time in a group of rules: what has to hold, and for how long."""
    return replace(group, rules=tuple(map(_rule, group.rules)))


def _rule(rule: Rule) -> Rule:
    hold, keep = shortened(rule.hold), shortened(rule.keep)
    return replace(rule, expr=faster_expr(rule.expr), hold=hold, keep=keep)


def faster_expr(expr: str) -> str:
    """Shorten the durations of an expression.

    >>> faster_expr("rate(x[5m]) > max_over_time(y[1h:1m] offset 1d)")
    'rate(x[10s]) > max_over_time(y[2m:2s] offset 48m)'
    """
    return _WINDOW.sub(lambda found: shortened(found[0]), expr)


def faster_dashboard(document: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten the durations of a dashboard of Grafana: in expressions, and between two points."""
    faster = deepcopy(dict(document))
    for panel in faster["panels"]:
        if "interval" in panel:
            panel["interval"] = shortened(panel["interval"])
    for target in _targets(faster):
        target["expr"] = faster_expr(target["expr"])
    return faster


def _targets(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in document["panels"]:
        yield from panel.get("targets", ())
    for annotation in document["annotations"].get("list", ()):
        yield from filter(None, [annotation.get("target")])


def faster_thresholds(**tuned: float) -> Values:
    """Shorten the thresholds that are times; `tuned` are what a user would have set."""
    defaults = {
        each.name: each.default / (FACTOR if each.unit is Unit.SECONDS else 1)
        for each in THRESHOLDS
    }
    assert tuned.keys() <= defaults.keys()
    return defaults | tuned


def faster_route(route: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten what a route of Alertmanager waits for."""
    waits = {
        key: shortened(value) if key.endswith(("_wait", "_interval")) else value
        for key, value in route.items()
    }
    if "routes" in route:
        waits["routes"] = list(map(faster_route, route["routes"]))
    return waits
