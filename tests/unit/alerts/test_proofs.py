"""Each alert is proved, by four kinds of tests for promtool, and has a page for who is woken.

That the tests hold is promtool's to say (tests/integration/test_alert_rules.py).
"""

import re
from functools import cache
from typing import Final

import pytest
from promql_parser import VectorSelector

from exporter.alerts import GROUPS, Rule
from exporter.alerts.model import NO_INSTANCE, NO_SERVER, Severity
from exporter.alerts.rendering import Options, promql
from tests.unit.alerts.promql import selectors_of
from tests.unit.alerts.proofs import (
    ANOTHER,
    BELOW,
    FILES,
    FIRES,
    KINDS,
    MISSING,
    ROOT,
    Expected,
    Proof,
    proofs_of,
)

RUNBOOKS: Final = ROOT / "docs" / "runbooks"
ANNOTATIONS: Final = {"summary", "description", "first_action", "runbook_url", "dashboard_url"}
UNFINISHED: Final = re.compile(r"<no value>|\{\{|\}\}|@\{|%!|NaN|<error|  |^[ :,;]| \(\)")

RULES: Final[dict[str, list[Rule]]] = {}
for _group in GROUPS:
    for _rule in _group.rules:
        RULES.setdefault(_rule.alert, []).append(_rule)

each_alert = pytest.mark.parametrize("alert", RULES)


@cache
def of_kind(alert: str, kind: str) -> list[Proof]:
    """Give an alert's tests of a kind, of which there has to be one."""
    found = [proof for proof in proofs_of(alert) if proof.name.startswith(kind)]
    assert found, f"{alert} has no test whose name begins with {kind!r}"
    return found


def of_severity(alert: str, kind: str, severity: str) -> list[Proof]:
    """Give those of a kind that are about a severity, or all where that is none."""
    return [proof for proof in of_kind(alert, kind) if severity in {"", proof.severity}]


def fired(alert: str, proof: Proof) -> list[Expected]:
    """Give the alerts of a test that has to have some."""
    found = proof.expected(alert)
    assert found, f"{proof.name!r} expects no alert"
    return found


def reads(alert: str, severity: str = "") -> list[VectorSelector]:
    """Give all that an alert reads, in whatever severity or in one."""
    rules = (rule for rule in RULES[alert] if severity in {"", rule.severity})
    return [each for rule in rules for each in selectors_of(promql(rule.expr, Options()))]


def own_labels(rule: Rule) -> set[str]:
    """Give the labels that alerts of a rule have whatever they are about."""
    labels = {"job", "severity"}
    labels |= {"instance"} if rule.instance != NO_INSTANCE else set()
    return labels | ({"target", "server"} if rule.server != NO_SERVER else set())


def guilty_by(rule: Rule) -> str:
    """Give the label of which only one value may be accused."""
    if rule.server != NO_SERVER:
        return "target"
    return "instance" if rule.instance != NO_INSTANCE else "job"


def test_every_alert_has_its_file_and_its_page() -> None:
    """Each alert has its tests and its runbook, and none is left of an alert that there is not."""
    assert {file.name for file in FILES.iterdir()} == {f"{alert}.yaml" for alert in RULES}
    pages = {file.name for file in RUNBOOKS.iterdir()} - {"README.md"}
    assert pages == {f"{alert}.md" for alert in RULES}


@each_alert
def test_kinds(alert: str) -> None:
    """All four kinds are there, and each severity fires and does not just below."""
    proofs = proofs_of(alert)
    assert len({proof.name for proof in proofs}) == len(proofs)
    assert [proof.name for proof in proofs if not proof.name.startswith(KINDS)] == []
    severities = {str(rule.severity) for rule in RULES[alert]}
    for kind in KINDS:
        named = {proof.severity for proof in of_kind(alert, kind)} - {""}
        assert named <= severities
        if len(severities) > 1 and kind in {FIRES, BELOW}:
            assert named == severities, f"{kind}: of which severity?"


@each_alert
def test_fires(alert: str) -> None:
    """It fires with all labels and annotations, and nothing in them is left to be filled in."""
    labels = {str(rule.severity): own_labels(rule) for rule in RULES[alert]}
    for proof in of_kind(alert, FIRES):
        for expected in fired(alert, proof):
            assert expected.labels.keys() >= labels[expected.labels["severity"]], proof.name
            assert expected.annotations.keys() == ANNOTATIONS, proof.name
            unfinished = [text for text in expected.texts if UNFINISHED.search(text)]
            assert unfinished == [], proof.name


@each_alert
def test_just_below(alert: str) -> None:
    """It does not fire with the same metrics and other values, looked at just as long or less."""
    for proof in of_kind(alert, BELOW):
        assert proof.expected(alert) == [], proof.name
        assert proof.last_look(alert) >= 0, f"{proof.name} does not look at {alert}"
    for severity in {proof.severity for proof in of_kind(alert, BELOW)}:
        below, firing = (of_severity(alert, kind, severity) for kind in (BELOW, FIRES))
        read = {selector.name for selector in reads(alert, severity)}
        assert any(
            other.metrics & read <= proof.metrics and other.shown(alert) != proof.shown(alert)
            for proof in below
            for other in firing
        ), f"{severity}: nothing that fires has the same metrics and other values"


@each_alert
def test_metric_missing(alert: str) -> None:
    """It does not fire where something that it reads is not there, however long one waits.

    An alert that fires for what is not there is silent where nothing but that is.
    """
    soonest = min(proof.last_look(alert) for proof in of_kind(alert, FIRES))
    silent = [
        proof
        for proof in of_kind(alert, MISSING)
        if not proof.expected(alert) and proof.last_look(alert) >= soonest
    ]
    absent = any("absent(" in rule.expr for rule in RULES[alert])
    lacking = [proof.name for proof in silent if absent or proof.lacks(reads(alert))]
    assert lacking, "none is silent for as long as it takes to fire, without what the alert reads"


@each_alert
def test_another_target(alert: str) -> None:
    """Of two targets (of two exporters, where it is about those) it fires for one only.

    Of two severities the worse one counts: the other target may have the lesser.
    """
    (label,) = {guilty_by(rule) for rule in RULES[alert]}
    worst = str(min((rule.severity for rule in RULES[alert]), key=list(Severity).index))
    for proof in of_kind(alert, ANOTHER):
        found = [each for each in fired(alert, proof) if each.labels["severity"] == worst]
        guilty = {each.labels[label] for each in found}
        assert len(guilty) == 1, proof.name
        given = {each.labels[label] for each in proof.series if label in each.labels}
        assert given - guilty, f"{proof.name} has one {label} only"
