"""Rules as files: each value in its place, whatever the user's own names are."""

from contextlib import suppress
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.alerts import GROUPS
from exporter.alerts.errors import AlertError
from exporter.alerts.model import (
    BEHIND_PGBOUNCER,
    NO_INSTANCE,
    NO_SERVER,
    Dashboard,
    Group,
    Rule,
    Severity,
)
from exporter.alerts.rendering import (
    Options,
    filled,
    prometheus_rule,
    promql,
    rule_file,
    to_yaml,
)
from exporter.alerts.thresholds import DEFAULTS
from exporter.commands.export import job_name
from tests.unit.alerts.promql import selectors_of

RULE: Final = Rule(
    alert="PostgresSlotsFull",
    severity=Severity.CRITICAL,
    expr='pgconn_slots_used > @{slots_high} and up{job="@{job}"} == 1',
    hold="2m",
    keep="5m",
    summary="{{ $labels.target }}: above @{slots_high.words}",
    description="The job @{job} tells so.",
    first_action="Look.",
    dashboard=Dashboard.INCIDENT,
)
PRINTABLE: Final = st.characters(exclude_categories=["C", "Zl", "Zp"])
EXPRESSIONS: Final = (
    "pgconn_up == 0",
    'pgconn_orphaned_connections{client="api"} / on (target) (pgconn_slots_usable{} > 0)',
    'absent(up{job="@{job}"})',
    'rate(pgconn_connections_opened_total{client!="pgconn-exporter"}[5m]) > @{churn}',
)


def rendered(rule: Rule, options: Options) -> dict[str, Any]:
    """Render one rule."""
    (group,) = rule_file([Group("pgconn-test", (rule,))], options)["groups"]
    (document,) = group["rules"]
    return dict(document)


def changed(**values: Any) -> Rule:  # noqa: ANN401 - fields of a rule
    """Give the rule with other values."""
    fields = {name: getattr(RULE, name) for name in Rule.__dataclass_fields__}
    return Rule(**(fields | values))


def test_a_rule() -> None:
    """A rule as Prometheus reads it, with a user's own values in all of their places."""
    options = Options(
        job="pg",
        thresholds={**DEFAULTS, "slots_high": 0.75},
        runbooks="https://wiki.example.com/pages/",
        grafana="https://grafana.example.com/ops/",
        labels={"team": "payments"},
    )
    assert rendered(RULE, options) == {
        "alert": "PostgresSlotsFull",
        "expr": 'pgconn_slots_used{job="pg"} > 0.75 and up{job="pg"} == 1',
        "for": "2m",
        "keep_firing_for": "5m",
        "labels": {
            "severity": "critical",
            "server": "{{ $labels.target }}",
            "instance": '{{ reReplaceAll "/.*" "" $labels.instance }}',
            "team": "payments",
        },
        "annotations": {
            "summary": "{{ $labels.target }}: above 75%",
            "description": "The job pg tells so.",
            "first_action": "Look.",
            "runbook_url": "https://wiki.example.com/pages/PostgresSlotsFull.md",
            "dashboard_url": "https://grafana.example.com/ops/d/pgconn-incident"
            "?var-job={{ $labels.job | urlquery }}&var-target={{ $labels.target | urlquery }}",
        },
    }


def test_what_is_not_said_is_left_out() -> None:
    """Neither durations nor labels stand there empty."""
    document = rendered(
        changed(hold="", keep="", server=NO_SERVER, instance=NO_INSTANCE), Options()
    )
    assert document.keys() == {"alert", "expr", "labels", "annotations"}
    assert document["labels"] == {"severity": "critical"}
    assert "var-target" not in document["annotations"]["dashboard_url"]


def test_server_behind_pgbouncer() -> None:
    """The label by which an incident is one page is what the rule says it is."""
    document = rendered(changed(server=BEHIND_PGBOUNCER), Options())
    assert document["labels"]["server"] == BEHIND_PGBOUNCER


def test_an_unknown_threshold() -> None:
    """A rule cannot name a threshold that is not in the table."""
    with pytest.raises(KeyError, match="slots_hihg"):
        filled("@{slots_hihg}", Options())


@given(job=st.text(max_size=20), expr=st.sampled_from(EXPRESSIONS))
def test_every_selector_has_the_job(job: str, expr: str) -> None:
    """Whatever the job is called, each selector is one of it, and the rest is what it was."""
    with suppress(AlertError):
        options = Options(job=job_name(job))
        found = selectors_of(promql(expr, options))
        assert found
        for selector in found:
            jobs = [each.value for each in selector.matchers.matchers if each.name == "job"]
            assert jobs == [job]


def test_a_job_called_like_a_metric() -> None:
    """The job's name is no metric, even if it looks like one."""
    assert promql('up{job="@{job}"} == 0', Options(job="pgconn_up")) == 'up{job="pgconn_up"} == 0'


@given(st.dictionaries(st.text(PRINTABLE), st.text(PRINTABLE | st.just("\n")), max_size=3))
def test_yaml_is_read_back(document: dict[str, str]) -> None:
    """Whatever stands in a document is read back as it was."""
    assert yaml.safe_load(to_yaml(document)) == document


def test_all_rules_are_read_back() -> None:
    """So are the rules, in their order, with lines that people can read."""
    written = to_yaml(rule_file(GROUPS, Options()))
    assert yaml.safe_load(written) == rule_file(GROUPS, Options())
    assert [line for line in written.splitlines() if line != line.rstrip()] == []
    assert "@{" not in written


def test_a_prometheus_rule() -> None:
    """What Prometheus' operator takes is the same file, with a name and what selects it."""
    document = prometheus_rule(GROUPS, Options(), "pgconn", {"release": "prometheus"})
    assert document == {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "pgconn", "labels": {"release": "prometheus"}},
        "spec": rule_file(GROUPS, Options()),
    }
    assert prometheus_rule(GROUPS, Options(), "pgconn", {})["metadata"] == {"name": "pgconn"}
