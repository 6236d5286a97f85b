"""The committed dashboards: nothing is wrong with them, and the alerts lead to what they show."""

import pytest

from exporter.alerts import GROUPS, Rule
from exporter.alerts.model import Dashboard, Severity
from exporter.alerts.rendering import Options, promql
from exporter.alerts.thresholds import DEFAULTS
from tests.unit.alerts.promql import metrics_of
from tests.unit.dashboards.colours import COLOURS, named_in_red, thresholds_of
from tests.unit.dashboards.expressions import EXPRESSIONS
from tests.unit.dashboards.layout import LAYOUT
from tests.unit.dashboards.links import LINKS
from tests.unit.dashboards.linter import LINTER
from tests.unit.dashboards.reading import (
    RENDERED,
    TEMPLATES,
    Check,
    Document,
    all_queries,
    labels_in,
    names_of_variables,
    read,
    strings,
)
from tests.unit.dashboards.words import WORDS

each_dashboard = pytest.mark.parametrize("dashboard", Dashboard)

# Every alert's expression has them, or what it is about stands in others.
AUXILIARY = {"pgconn_up", "pgconn_slots_usable", "pgconn_pgbouncer_info", "pgconn_server_info"}


@each_dashboard
@pytest.mark.parametrize("check", [*LINTER, *LAYOUT, *EXPRESSIONS, *LINKS, *WORDS])
def test_rendered(dashboard: Dashboard, check: Check) -> None:
    """No check complains of a dashboard as Grafana gets it."""
    assert list(check(read(RENDERED, dashboard))) == []


@each_dashboard
@pytest.mark.parametrize("check", COLOURS)
def test_colours(dashboard: Dashboard, check: Check) -> None:
    """Red is what pages, and orange what opens a ticket."""
    assert list(check(read(TEMPLATES, dashboard))) == []


@each_dashboard
def test_numbers(dashboard: Dashboard) -> None:
    """The thresholds that are shown are those of the alerts, and each is filled in."""
    rendered = read(RENDERED, dashboard)
    assert [text for text in strings(rendered) if "@{" in text] == []
    assert list(different(read(TEMPLATES, dashboard), rendered)) == []


def different(template: object, rendered: object) -> list[str]:
    """Give where a threshold is another number than the alerts', in a part of a dashboard."""
    if isinstance(template, dict) and isinstance(rendered, dict):
        assert template.keys() == rendered.keys()
        return [found for name in template for found in different(template[name], rendered[name])]
    if isinstance(template, list) and isinstance(rendered, list):
        pairs = zip(template, rendered, strict=True)
        return [found for one, other in pairs for found in different(one, other)]
    if isinstance(template, str) and template.startswith("@{") and template.endswith("}"):
        return [] if DEFAULTS[template[2:-1]] == rendered else [f"{template} is {rendered}"]
    return []


def test_known() -> None:
    """Each dashboard lies in its own file, and no two have the same uid or title."""
    for folder in (RENDERED, TEMPLATES):
        assert {file.name for file in folder.iterdir()} == {f"{each}.json" for each in Dashboard}
        found = [read(folder, each) for each in Dashboard]
        assert [each["uid"] for each in found] == list(Dashboard)
        assert len({each["title"] for each in found}) == len(found)


@pytest.mark.parametrize(
    "rule",
    [rule for group in GROUPS for rule in group.rules],
    ids=lambda rule: f"{rule.alert}-{rule.severity}",
)
def test_alerts_lead_here(rule: Rule) -> None:
    """An alert leads to a dashboard that takes its job and target, and shows what it is about."""
    dashboard = read(RENDERED, rule.dashboard)
    assert {"job", "target"} <= names_of_variables(dashboard)
    about = metrics_of(promql(rule.expr, Options()))
    assert (about - AUXILIARY or about) & shown(dashboard)


def test_what_pages_is_red() -> None:
    """Each threshold that wakes somebody, and opens no ticket before, is red on a dashboard."""
    red = {name for each in Dashboard for name in named_in_red(read(TEMPLATES, each))}
    pages = thresholds_of(Severity.CRITICAL) - thresholds_of(Severity.WARNING)
    assert pages - red == set()


def shown(dashboard: Document) -> set[str]:
    """Give the metrics that a dashboard's panels ask for."""
    exprs = [query.expr for query in all_queries(dashboard) if labels_in(query.expr)]
    return {name for expr in exprs for name in metrics_of(expr)}
