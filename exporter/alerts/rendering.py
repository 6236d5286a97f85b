"""Rules as files: for Prometheus, and as a PrometheusRule for its operator."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from exporter.alerts.model import INSTANCE, JOB, SERVER, SEVERITY, Group, Rule
from exporter.alerts.thresholds import DEFAULTS, UNITS, Values
from exporter.alerts.units import plain, words

Document = Mapping[str, Any]

EXAMPLE_RUNBOOKS: Final = "https://runbooks.example.com/pgconn-exporter"
EXAMPLE_GRAFANA: Final = "https://grafana.example.com"

_PLACEHOLDER: Final = re.compile(r"@\{(?P<name>\w+)(?P<words>\.words)?\}")
_SELECTOR: Final = re.compile(r"\b(?P<metric>pgconn_\w+)(?P<brace>\{)?")


@dataclass(frozen=True, slots=True)
class Options:
    """What is the user's own in the rules."""

    job: str = "pgconn"
    thresholds: Values = field(default_factory=lambda: DEFAULTS)
    runbooks: str = EXAMPLE_RUNBOOKS
    """Where docs/runbooks is published: the page of an alert is `URL/ALERT.md`."""
    grafana: str = EXAMPLE_GRAFANA
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels for all alerts, such as a team."""


def rule_file(groups: Iterable[Group], options: Options) -> Document:
    """Give what a rule file of Prometheus says."""
    return {"groups": [_group(group, options) for group in groups]}


def prometheus_rule(
    groups: Iterable[Group], options: Options, name: str, labels: Mapping[str, str]
) -> Document:
    """Give a PrometheusRule of Prometheus' operator; `labels` are its own, which select it."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name} | ({"labels": dict(labels)} if labels else {}),
        "spec": rule_file(groups, options),
    }


def _group(group: Group, options: Options) -> Document:
    return {"name": group.name, "rules": [_rule(rule, options) for rule in group.rules]}


def _rule(rule: Rule, options: Options) -> Document:
    document: dict[str, Any] = {
        "alert": rule.alert,
        "expr": promql(rule.expr, options),
    }
    document |= {"for": rule.hold} if rule.hold else {}
    document |= {"keep_firing_for": rule.keep} if rule.keep else {}
    document["labels"] = {**dict(_labels(rule)), **options.labels}
    document["annotations"] = {
        "summary": filled(rule.summary, options),
        "description": filled(rule.description, options),
        "first_action": filled(rule.first_action, options),
        "runbook_url": f"{options.runbooks.rstrip('/')}/{rule.alert}.md",
        "dashboard_url": _dashboard(rule, options),
    }
    return document


def _labels(rule: Rule) -> Iterator[tuple[str, str]]:
    yield SEVERITY, str(rule.severity)
    for label, template in ((SERVER, rule.server), (INSTANCE, rule.instance)):
        if template:
            yield label, template


def _dashboard(rule: Rule, options: Options) -> str:
    """Give the dashboard, with the variables set to what the alert is about."""
    address = f"{options.grafana.rstrip('/')}/d/{rule.dashboard}"
    url = f"{address}?var-job={{{{ $labels.{JOB} | urlquery }}}}"
    if rule.server:
        url += "&var-target={{ $labels.target | urlquery }}"
    return url


def promql(expr: str, options: Options) -> str:
    """Fill an expression in, and select our job with every metric of ours.

    >>> promql("pgconn_up == 0", Options(job="pg"))
    'pgconn_up{job="pg"} == 0'
    """

    def select(found: re.Match[str]) -> str:
        end = ", " if found["brace"] else "}"
        return f'{found["metric"]}{{{JOB}="@{{{JOB}}}"{end}'

    # The job last: one that is called as our metrics are is no metric.
    return filled(_SELECTOR.sub(select, expr), options)


def filled(text: str, options: Options) -> str:
    """Fill thresholds and job into a text; KeyError for a threshold that is not in the table.

    >>> filled("@{slots_high} is @{slots_high.words}", Options())
    '0.8 is 80%'
    """

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if name == JOB:
            return options.job
        number = options.thresholds[name]
        return words(number, UNITS[name]) if found["words"] else plain(number)

    return _PLACEHOLDER.sub(value, text)


class _Dumper(yaml.SafeDumper):
    """Writes several lines as a block, and keeps one line one line."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: Document) -> str:
    """Write a document as YAML, its keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
