"""What silences what: no two alerts each other, no ticket a page, nothing by accident."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import product
from typing import Any, Final

import pytest
import yaml

from exporter.alerts import GROUPS, Rule
from exporter.alerts.alertmanager import GROUP_WAIT, INHIBITIONS, commented_fragment, fragment
from exporter.alerts.model import Severity
from exporter.alerts.rendering import Options
from exporter.alerts.units import Unit, parse_number

RULES: Final = [rule for group in GROUPS for rule in group.rules]
FRAGMENT: Final = fragment(Options())
INHIBIT_RULES: Final = FRAGMENT["inhibit_rules"]

# Critical alerts that are neither cause nor symptom of another one. Each needs its reason.
ALONE: Final = {
    "PgBouncerClientSlotsHigh": "soon PgBouncer refuses clients: that is to be known in any case",
}
# Symptoms that may be sent before their cause, which then joins them: the group is the same.
CAUSE_COMES_LATER: Final = {
    ("PostgresQueriesOutliveClient", "PgBouncerPoolSaturated"): "waiting clients are told at once",
}

Labels = Mapping[str, str]
Alert = frozenset[tuple[str, str]]


def labels_of(rule: Rule) -> Labels:
    """Give the labels of an alert; those of one incident have them all in common.

    An exporter's own alerts have no target; where not even the exporter is known, no instance.
    """
    labels = {"alertname": rule.alert, "severity": str(rule.severity), "job": "pgconn"}
    if rule.instance:
        labels["instance"] = "exporter:9187"
    if rule.server:
        labels |= {"target": "orders", "server": "orders", "client": "api"}
    return labels


def matches(labels: Labels, matchers: Iterable[str]) -> bool:
    """Tell what Alertmanager's matchers say: a label that is missing is empty."""
    return all(one_matches(labels, matcher) for matcher in matchers)


def one_matches(labels: Labels, matcher: str) -> bool:
    """Tell what one matcher says; its regular expressions are anchored."""
    parsed = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
    assert parsed, matcher
    label, operator, wanted = parsed.groups()
    value = labels.get(label, "")
    same = bool(re.fullmatch(wanted, value)) if "~" in operator else value == wanted
    return same is not operator.startswith("!")


def silences(rule: Mapping[str, Any], cause: Labels, symptom: Labels) -> bool:
    """Tell what Alertmanager does with an alert while another one fires."""
    return (
        matches(cause, rule["source_matchers"])
        and matches(symptom, rule["target_matchers"])
        and all(cause.get(label, "") == symptom.get(label, "") for label in rule["equal"])
    )


def silenced(
    cause: Labels, symptom: Labels, rules: Iterable[Mapping[str, Any]] = INHIBIT_RULES
) -> bool:
    """Tell whether any of the rules, as rendered, silences the symptom."""
    return any(silences(rule, cause, symptom) for rule in rules)


def in_order(alerts: Iterable[Labels], rules: Iterable[Mapping[str, Any]] = INHIBIT_RULES) -> None:
    """Put symptoms after their causes; CycleError where that cannot be."""
    sorter: TopologicalSorter[Alert] = TopologicalSorter()
    for cause, symptom in product(list(alerts), repeat=2):
        if silenced(cause, symptom, rules):
            sorter.add(frozenset(symptom.items()), frozenset(cause.items()))
    sorter.prepare()


def of(name: str, severity: str = "critical", **labels: str) -> Labels:
    """Give the labels of an alert as it would arrive."""
    return {"alertname": name, "severity": severity, "job": "pgconn", **labels}


def test_no_two_alerts_silence_each_other() -> None:
    """Among the alerts of one incident, no cause is silenced by its symptom by any detour."""
    in_order(map(labels_of, RULES))


def test_no_two_alerts_would_if_all_were_critical() -> None:
    """It is the graph that has no cycle, whatever severities the rules get."""
    in_order({**labels_of(rule), "severity": "critical"} for rule in RULES)


def test_a_cycle_would_be_found() -> None:
    """A symptom that silences its cause, by a detour, is an error."""
    back = {
        "source_matchers": ['alertname="PostgresSlotsCritical"'],
        "target_matchers": ['alertname="PostgresRootBlockerIdle"'],
        "equal": ["job"],
    }
    detour = ("PostgresRootBlockerIdle", "PostgresClientHogsSlots", "PostgresSlotsCritical")
    with pytest.raises(CycleError):
        in_order((of(name, server="orders") for name in detour), [*INHIBIT_RULES, back])


def test_every_alert_in_it_is_declared() -> None:
    """A name that is no alert silences nothing, and nobody would notice."""
    named = {
        name for each in INHIBITIONS for name in (each.cause, *each.symptoms, *each.spared)
    } | {"PgconnTargetUnreachable"}
    assert named - {rule.alert for rule in RULES} == set()


def test_every_cause_pages() -> None:
    """A cause without a critical alert would silence nothing."""
    critical = {rule.alert for rule in RULES if rule.severity is Severity.CRITICAL}
    assert {each.cause for each in INHIBITIONS} - critical == set()


def test_every_page_has_its_place() -> None:
    """Each critical alert is a cause, or a symptom of one, or has a reason to be neither."""
    placed = {name for each in INHIBITIONS for name in (each.cause, *each.symptoms)}
    critical = {rule.alert for rule in RULES if rule.severity is Severity.CRITICAL}
    assert critical - placed == set(ALONE)
    assert placed & set(ALONE) == set()


def seconds(duration: str) -> float:
    """Read how long something holds or is kept; nothing is 0."""
    return parse_number(duration, Unit.SECONDS) if duration else 0.0


def pages() -> Iterator[tuple[Rule, Rule]]:
    """Give each cause with each symptom that would page without it, of the graph by name."""
    critical = [rule for rule in RULES if rule.severity is Severity.CRITICAL]
    for each, cause, symptom in product(INHIBITIONS, critical, critical):
        if cause.alert == each.cause and symptom.alert in each.symptoms:
            yield cause, symptom


def test_a_cause_is_there_before_its_symptom_is_sent() -> None:
    """No symptom has to hold for less time than its cause, by more than groups wait."""
    late = {
        (cause.alert, symptom.alert)
        for cause, symptom in pages()
        if seconds(symptom.hold) + seconds(GROUP_WAIT) < seconds(cause.hold)
    }
    assert late == CAUSE_COMES_LATER.keys()


def test_a_cause_outlasts_its_symptom() -> None:
    """When the cure has helped, the symptom has to be over first: it would page otherwise."""
    heard = {
        f"{cause.alert} is kept for {cause.keep or 0}, {symptom.alert} for {symptom.keep or 0}"
        for cause, symptom in pages()
        if symptom.keep and seconds(cause.keep) <= seconds(symptom.keep)
    }
    assert heard == set()


def test_an_exporter_that_is_down_has_no_ticket_for_its_scrapes() -> None:
    """It is the same failure: one page, but another exporter's ticket stands."""
    down = of("PgconnExporterDown", instance="exporter:9187")
    assert silenced(down, of("PgconnScrapeFailing", "warning", instance="exporter:9187"))
    assert not silenced(down, of("PgconnScrapeFailing", "warning", instance="standby:9187"))


def test_a_ticket_silences_nothing() -> None:
    """Whatever an alert is about, only its critical one silences others."""
    tickets = [{**labels_of(rule), "severity": "warning"} for rule in RULES]
    alerts = list(map(labels_of, RULES))
    assert [pair for pair in product(tickets, alerts) if silenced(*pair)] == []


@pytest.mark.parametrize("label", ["server", "instance", "target", "client"])
def test_a_label_that_both_lack_is_not_the_same(label: str) -> None:
    """For Alertmanager it is: so each rule that compares a label asks for it."""
    rules = [rule for rule in INHIBIT_RULES if label in rule["equal"]]
    assert rules
    everything = of("", server="orders", instance="exporter:9187", target="orders", client="api")
    without = {name: value for name, value in everything.items() if name != label}
    names = {rule.alert for rule in RULES} | {each.cause for each in INHIBITIONS}
    assert not any(
        matches({**without, "alertname": name}, rule["source_matchers"])
        for rule, name in product(rules, names)
    )


def test_nothing_of_another_job_is_silenced_or_silences() -> None:
    """Alerts of another job, and others' alerts of our job, have no part in it."""
    others: list[Callable[[Labels], Labels]] = [
        lambda labels: {**labels, "job": "other"},
        lambda labels: {**labels, "alertname": f"My{labels['alertname']}"},
    ]
    ours = list(map(labels_of, RULES))
    for other in others:
        theirs = list(map(other, ours))
        assert not [
            pair for pair in (*product(ours, theirs), *product(theirs, ours)) if silenced(*pair)
        ]


def test_every_rule_has_its_reason_above_it() -> None:
    """The file tells why, and says the same as the document."""
    text = commented_fragment(Options())
    assert yaml.safe_load(text) == FRAGMENT
    for each in INHIBITIONS:
        cause = f'- source_matchers:\n  - job="pgconn"\n  - alertname="{each.cause}"\n'
        assert f"# {each.why}\n{cause}" in text
