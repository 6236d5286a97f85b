"""The rules as a contract: names, labels, thresholds, and expressions without the known traps."""

import re
from collections import Counter
from typing import Final

import pytest

from exporter.alerts import GROUPS, Rule
from exporter.alerts.model import NO_INSTANCE, NO_SERVER, OWN_LABELS, Severity
from exporter.alerts.rendering import Options, filled, promql
from exporter.alerts.thresholds import THRESHOLDS
from exporter.alerts.units import Unit, parse_number
from tests.unit.alerts.promql import Labels, TrapError, labels_of, metrics_of

RULES: Final = tuple(rule for group in GROUPS for rule in group.rules)
NAMED_AFTER: Final = ("Pgconn", "Postgres", "PgBouncer")
PLACEHOLDER: Final = re.compile(r"@\{(\w+)(?:\.words)?\}")
QUERY: Final = re.compile(r'printf "((?:[^"\\]|\\.)*\b(?:pgconn_|up\{)(?:[^"\\]|\\.)*)"')

each_rule = pytest.mark.parametrize(
    "rule", RULES, ids=[f"{rule.alert}-{rule.severity}" for rule in RULES]
)


def texts(rule: Rule) -> tuple[str, ...]:
    """Give what a person reads of an alert."""
    return (rule.summary, rule.description, rule.first_action)


def result_of(rule: Rule) -> Labels:
    """Follow the labels through a rule's expression, as it is rendered."""
    return labels_of(promql(rule.expr, Options()))


def test_names() -> None:
    """Names are in CamelCase after what they are about; a severity has an alert once."""
    for rule in RULES:
        assert re.fullmatch(rf"({'|'.join(NAMED_AFTER)})([A-Z][a-z]+)+", rule.alert), rule.alert
    several = Counter((rule.alert, rule.severity) for rule in RULES)
    assert [alert for alert, count in several.items() if count > 1] == []
    groups = [group.name for group in GROUPS]
    assert len(set(groups)) == len(groups)
    assert all(re.fullmatch(r"pgconn-[a-z]+", name) for name in groups)


def test_severities() -> None:
    """What wakes, opens a ticket, or is shown: a page only where somebody must act now."""
    assert {rule.severity for rule in RULES} == set(Severity)


def test_thresholds_are_used() -> None:
    """Each threshold decides something, and none is missing in the table."""
    table = {threshold.name for threshold in THRESHOLDS}
    named = {name for rule in RULES for name in PLACEHOLDER.findall(rule.expr)}
    told = {name for rule in RULES for text in texts(rule) for name in PLACEHOLDER.findall(text)}
    assert table - named == set(), "thresholds that no expression uses"
    assert (named | told) - table == {"job"}
    assert len(table) == len(THRESHOLDS)


@each_rule
def test_texts(rule: Rule) -> None:
    """The texts are whole sentences in one line; those of thresholds are words for people."""
    for text in texts(rule):
        assert text.isprintable()
        assert text == text.strip()
        assert "  " not in text
        assert not re.search(r"@\{(?!job\})\w+\}", text), f"a bare number in {text!r}"
    assert rule.description.endswith((".", "}}"))
    assert not rule.summary.endswith(".")


@each_rule
def test_durations(rule: Rule) -> None:
    """How long it has to hold is a duration of whole units, or nothing."""
    for duration in filter(None, (rule.hold, rule.keep)):
        assert re.fullmatch(r"\d+[smh]", duration)
        assert parse_number(duration, Unit.SECONDS) % 15 == 0, "no multiple of an evaluation"


@each_rule
def test_expressions(rule: Rule) -> None:
    """Every metric and label exists, sides can match, nothing divides by 0, counters count."""
    try:
        found = result_of(rule)
    except TrapError as error:
        pytest.fail(f"{rule.alert}: {error}")
    assert found.names - OWN_LABELS == set(), "labels that an alert must not have"
    assert "job" in found.names
    assert ("instance" in found.names) == (rule.instance != NO_INSTANCE)
    assert ("target" in found.names) == (rule.server != NO_SERVER)


@each_rule
def test_labels_in_texts(rule: Rule) -> None:
    """A text names only labels that the alert's series have."""
    templates = " ".join((*texts(rule), rule.server, rule.instance))
    named = set(re.findall(r"\$labels\.(\w+)", templates))
    assert named - result_of(rule).names == set()


@each_rule
def test_queries_in_texts(rule: Rule) -> None:
    """What a text asks Prometheus for exists, and has the labels that are shown."""
    for text in texts(rule):
        queries = [
            re.sub(r"%?%q", '"x"', query.replace('\\"', '"'))
            for query in QUERY.findall(filled(text, Options()))
        ]
        assert len(queries) == len(re.findall(r"printf \"[^\"]*\b(?:pgconn_|up\{)", text))
        labels = {label for query in queries for label in labels_of(query).names}
        shown = re.findall(r"\.Labels\.(\w+)|\blabel \"(\w+)\"", text)
        assert {name or other for name, other in shown} - labels == set()


@each_rule
def test_own_metrics(rule: Rule) -> None:
    """An alert is about our metrics, or whether the exporter is scraped at all."""
    metrics = metrics_of(promql(rule.expr, Options()))
    assert metrics == {"up"} or all(name.startswith("pgconn_") for name in metrics)
