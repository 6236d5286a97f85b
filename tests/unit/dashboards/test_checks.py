"""The checks of dashboards: each complains of a dashboard that is broken, and of nothing else."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.unit.dashboards.colours import (
    COLOURS,
    named_in_red,
    named_values,
    palette,
    same_as_alerts,
    same_unit,
)
from tests.unit.dashboards.example import ALERTS, CHOSEN, HELD, OPENED, RATIO, example
from tests.unit.dashboards.expressions import (
    EXPRESSIONS,
    buckets,
    declared_variables,
    existing_columns,
    form,
    known_transformations,
    labels_of_legends,
    same_rows,
    sound,
    telling_legends,
)
from tests.unit.dashboards.layout import LAYOUT, ids, lines, open_rows, overlaps, schema, widths
from tests.unit.dashboards.links import (
    LINKS,
    RUNBOOK,
    existing_labels,
    keeps,
    leads_to_others,
    resolves,
    suspects,
)
from tests.unit.dashboards.linter import (
    LINTER,
    panel_datasource,
    panel_no_targets,
    panel_title_description,
    panel_units,
    target_counter_agg,
    target_job_and_instance,
    target_promql,
    target_rate_interval,
    template_datasource,
    template_job_and_instance,
    template_label_promql,
    template_on_time_change_reload,
    uneditable,
)
from tests.unit.dashboards.reading import Check
from tests.unit.dashboards.test_dashboards import different
from tests.unit.dashboards.words import WORDS, existing_names, nothing_found, questions, short_texts

CHECKS: Final = (*LINTER, *LAYOUT, *EXPRESSIONS, *LINKS, *WORDS, *COLOURS)

ROW, STAT, TEXT, TABLE, GRAPH, HEATMAP = (f"panels.{place}" for place in range(6))
JOB, TARGET, COMPARE = (f"templating.list.{place}" for place in (1, 3, 4))
EXPR, LEGEND, SECOND = "targets.0.expr", "targets.0.legendFormat", "targets.1.expr"
OPTIONS, COLUMNS = "fieldConfig.defaults", "transformations.1.options.include.names"
STEPS = f"{STAT}.{OPTIONS}.thresholds.steps"
URL, ROW_URL = (
    f"{STAT}.{OPTIONS}.links.0.url",
    f"{TABLE}.fieldConfig.overrides.0.properties.1.value.0.url",
)
MARK = "annotations.list.0"

Change = Callable[[Any], Any]


def to(value: object) -> Change:
    """Have something else there."""
    return lambda _: value


def without(text: str, instead: str = "") -> Change:
    """Leave a part of a text out, or have another."""

    def changed(before: str) -> str:
        assert text in before
        return before.replace(text, instead, 1)

    return changed


def less(*indices: int) -> Change:
    """Leave out what stands at these places."""
    return lambda before: [each for place, each in enumerate(before) if place not in indices]


def more(value: object) -> Change:
    """Have one more at the end."""
    return lambda before: [*before, value]


def broken(path: str, change: Change) -> dict[str, Any]:
    """Give the example with a change at one place."""
    dashboard = example()
    part: Any = dashboard
    *way, last = path.split(".")
    for name in way:
        part = part[int(name)] if isinstance(part, list) else part[name]
    key: Any = int(last) if isinstance(part, list) else last
    part[key] = change(part[key] if isinstance(part, list) else part.get(key))
    return dashboard


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_wrong(check: Check) -> None:
    """Nothing is wrong with the example."""
    assert list(check(example())) == []


BROKEN: Final[tuple[tuple[Check, str, Change, str], ...]] = (
    # What the linter insists on
    (template_datasource, "templating.list.0.label", to("Prometheus"), "data sources are"),
    (template_datasource, "templating.list", less(0), "data sources are []"),
    (template_job_and_instance, "templating.list", less(1), "$job: is missing"),
    (template_job_and_instance, f"{JOB}.datasource.uid", to("x"), "$job: is not of the chosen"),
    (template_job_and_instance, f"{JOB}.label", to("job"), "$job: has the label 'job'"),
    (template_job_and_instance, f"{JOB}.multi", to(value=False), "$job: not several"),
    (template_job_and_instance, f"{JOB}.allValue", to(".*"), "$job: all are '.*'"),
    (template_label_promql, f"{JOB}.query", to("pgconn_up"), "asks for no label's values"),
    (template_label_promql, f"{JOB}.query", without("up"), "there is no metric pgconn_"),
    (template_label_promql, f"{JOB}.query", without("job)", "jobs)"), "jobs is no label of"),
    (template_label_promql, f"{JOB}.query", without("up", "up{"), "$job: "),
    (template_label_promql, f"{TARGET}.query", without("$job", "$jo"), "$jo is not chosen before"),
    (template_on_time_change_reload, f"{JOB}.refresh", to(1), "$job: is not refreshed"),
    (panel_datasource, f"{STAT}.datasource.uid", to("x"), "Used: does not ask the chosen"),
    (panel_datasource, f"{STAT}.targets.0.datasource.uid", to("x"), "Used: does not ask"),
    (panel_datasource, f"{MARK}.datasource.uid", to("x"), "annotation Pages: does not"),
    (panel_title_description, f"{STAT}.title", to(""), "has no title"),
    (panel_title_description, f"{HEATMAP}.description", to(" "), "Ages: has no description"),
    (panel_units, f"{STAT}.{OPTIONS}.unit", to(None), "Used: it has the unit None"),
    (panel_units, f"{HEATMAP}.{OPTIONS}.unit", to("seconds"), "Ages: it has the unit 'seconds'"),
    (
        panel_units,
        f"{TABLE}.fieldConfig.overrides.1.properties.0.value",
        to("pieces"),
        "Holders: Lost has the unit 'pieces'",
    ),
    (panel_no_targets, f"{TABLE}.targets", to([]), "Holders: asks for nothing"),
    (uneditable, "editable", to(value=True), "can be edited"),
    (target_promql, f"{STAT}.{EXPR}", without(")"), "Used (A): "),
    (target_promql, f"{STAT}.{EXPR}", to(""), "Used (A): "),
    (target_promql, f"{MARK}.target.expr", to("$up"), "annotation Pages: '$up'"),
    (
        target_rate_interval,
        f"{GRAPH}.{EXPR}",
        without("$__rate_interval", "5m"),
        "Course (A): rate",
    ),
    (
        target_rate_interval,
        f"{GRAPH}.{EXPR}",
        to(f"max by (target) (increase(pgconn_database_deadlocks_total{CHOSEN}[14m]))"),
        "increase() is not over [$__rate_interval]",
    ),
    (target_job_and_instance, f"{STAT}.{EXPR}", without('job=~"$job", '), 'by job=~"$job"'),
    (
        target_job_and_instance,
        f"{STAT}.{EXPR}",
        without('instance=~"$instance"', 'instance="$instance"'),
        'pgconn_slots_used is not selected by instance=~"$instance"',
    ),
    (target_job_and_instance, f"{MARK}.expr", without(', target=~"$target"'), "annotation Pages"),
    (
        target_job_and_instance,
        f"{STAT}.{EXPR}",
        to(RATIO.replace('=~"$target"', '!=""')),
        "Used (A): is about whatever target",
    ),
    (
        target_counter_agg,
        f"{GRAPH}.{EXPR}",
        to(f"max by (target, client) (pgconn_connections_opened_total{CHOSEN})"),
        "is a counter, and no rate of it",
    ),
    (
        target_counter_agg,
        f"{GRAPH}.{EXPR}",
        to(f"max_over_time(pgconn_connections_opened_total{CHOSEN}[$__range])"),
        "is a counter, and no rate of it",
    ),
    # Places and names
    (schema, "schemaVersion", to(41), "schemaVersion is 41"),
    (schema, "uid", to("pgconn-x"), "no alert knows the uid 'pgconn-x'"),
    (schema, "tags", to(["postgresql"]), "has no tag 'pgconn'"),
    (ids, f"{STAT}.id", to(7), "Used: the id 7 is not that of 'pgconn-incident/Used'"),
    (ids, f"{STAT}.title", to("Read"), "2 panels have the title 'Read'"),
    (ids, f"{STAT}.id", to(example()["panels"][2]["id"]), "2 panels have the id"),
    (open_rows, f"{ROW}.collapsed", to(value=True), "First: hides its panels"),
    (open_rows, f"{ROW}.panels", to([{}]), "First: hides its panels"),
    (open_rows, f"{ROW}.gridPos.w", to(12), "First: is a heading of not the whole"),
    (overlaps, f"{STAT}.gridPos.w", to(7), "Used: overlaps Read"),
    (overlaps, f"{STAT}.gridPos.h", to(5), "Used: overlaps Holders"),
    (widths, f"{GRAPH}.gridPos.w", to(13), "Course: sticks out"),
    (widths, f"{STAT}.gridPos.w", to(2), "Used: is narrow"),
    (lines, f"{STAT}.gridPos.w", to(5), "Used: its line is 23 columns wide"),
    (lines, f"{STAT}.gridPos.h", to(3), "Used: its line has panels of heights [3, 4]"),
    (lines, f"{HEATMAP}.gridPos.y", to(14), "Ages: its line begins at 14, not at 13"),
    # Queries and what becomes of their answers
    (sound, f"{STAT}.{EXPR}", without("slots_used", "slots_uses"), "there is no metric"),
    (sound, f"{STAT}.{EXPR}", without("by (target)", "by (client)"), "client is no label of"),
    (sound, f"{STAT}.{EXPR}", without(" > 0"), "which may be 0"),
    (sound, f"{STAT}.{EXPR}", to(f"{HELD} > {RATIO}"), "client is on one side only"),
    (sound, f"{STAT}.{EXPR}", to(f"{RATIO} > on (target) {HELD}"), "may be several series"),
    (sound, f"{STAT}.{EXPR}", to(f"rate(pgconn_slots_used{CHOSEN}[5m])"), "which is no counter"),
    (sound, f"{MARK}.expr", without("severity", "severities"), "annotation Pages: severities"),
    (declared_variables, "templating.list", less(4), "Course: there is no $compare"),
    (declared_variables, f"{STAT}.title", to("Used by $client"), "there is no $client"),
    (declared_variables, f"{COMPARE}.name", to("before"), "$before: no panel uses it"),
    (labels_of_legends, f"{STAT}.{LEGEND}", to("{{client}}"), "names client, which is no label"),
    (labels_of_legends, f"{MARK}.titleFormat", to("{{datname}}"), "annotation Pages: its legend"),
    (telling_legends, f"{STAT}.{LEGEND}", to("used"), "not tell series apart by target"),
    (telling_legends, f"{STAT}.{LEGEND}", to(""), "Used (A): has no legend"),
    (telling_legends, f"{STAT}.{LEGEND}", to("__auto"), "Used (A): has no legend"),
    (telling_legends, f"{GRAPH}.{LEGEND}", to("{{target}}"), "2 queries have the legend"),
    (form, f"{TABLE}.targets.0.format", to("time_series"), "table is asked for as time_series"),
    (form, f"{STAT}.targets.0.range", to(value=True), "Used (A): is not asked for either"),
    (form, f"{TABLE}.targets.0", lambda it: it | {"instant": False, "range": True}, "a row for"),
    (form, f"{GRAPH}.targets.0", lambda it: it | {"instant": True, "range": False}, "one point"),
    (buckets, f"{HEATMAP}.{EXPR}", without("(le)", "(le, target)"), "not by le alone"),
    (same_rows, f"{TABLE}.{SECOND}", without("target, client", "client"), "target is not in all"),
    (same_rows, f"{TABLE}.transformations", less(0), "Holders: the answers are not merged"),
    (existing_columns, f"{TABLE}.{COLUMNS}", more("usename"), "no answer has 'usename'"),
    (existing_columns, f"{TABLE}.{COLUMNS}", less(1), "rows are not told apart by client"),
    (existing_columns, f"{TABLE}.{COLUMNS}", less(3), "'Value #B' is asked for, and not shown"),
    (existing_columns, f"{TABLE}.targets", less(1), "Holders: no answer has 'Value #A'"),
    (existing_columns, f"{TABLE}.transformations", less(1), "shows whatever the answers have"),
    (
        known_transformations,
        f"{TABLE}.transformations",
        more({"id": "reduce", "options": {}}),
        "do not know what reduce does",
    ),
    (
        known_transformations,
        f"{TABLE}.transformations.2.options.renameByName",
        lambda names: names | {"usename": "User"},
        "'usename' is arranged, and not there",
    ),
    (
        known_transformations,
        f"{TABLE}.transformations.2.options.renameByName.client",
        to("Target"),
        "2 columns are called 'Target'",
    ),
    (
        known_transformations,
        f"{TABLE}.fieldConfig.overrides.0.matcher.options",
        to("target"),
        "there is no column 'target'",
    ),
    (
        known_transformations,
        f"{TABLE}.options.sortBy.0.displayName",
        to("Value #A"),
        "there is no column 'Value #A'",
    ),
    # Links
    (leads_to_others, "links", to([]), "leads to no other"),
    (leads_to_others, "links.0.keepTime", to(value=False), "loses the time"),
    (leads_to_others, "links.0.includeVars", to(value=False), "or what was chosen"),
    (leads_to_others, "links.0.tags", to(["postgres"]), "has the tags ['postgres']"),
    (resolves, URL, without("connections", "connection"), "is no dashboard of ours"),
    (resolves, URL, to("https://grafana.example.com/d/x"), "is no dashboard of ours"),
    (resolves, URL, without("var-target", "var-targets"), "has no $targets"),
    (resolves, ROW_URL, to(RUNBOOK), "is no dashboard of ours"),  # nor is a row an alert
    (resolves, ROW_URL, without("pgconn-connections", "${__value.raw}"), "is no dashboard of ours"),
    (resolves, f"{TEXT}.options.content", to("[x](/d/pgconn-x?)"), "is no dashboard of ours"),
    (keeps, URL, without("&${__url_time_range}"), "loses the time"),
    (keeps, URL, without("${job:queryparam}&"), "carries $job 0 times"),
    (keeps, ROW_URL, without("&var-target", "&var-target=x&var-target"), "carries $target 2 times"),
    (keeps, ROW_URL, without("fields.target", "fields.server"), "carries $instance 1 times"),
    (existing_labels, URL, without("labels.target", "labels.client"), "has no label client"),
    (existing_labels, URL, without("__field.labels", "__data.fields"), "is not where a click"),
    (existing_labels, ROW_URL, without("fields.target", "fields.usename"), "have no usename"),
    (existing_labels, ROW_URL, without("${__data.fields", "${__row"), "nothing that Grafana"),
    (suspects, f"{TABLE}.fieldConfig.overrides", less(0), "Holders: leads nowhere"),
    # Words
    (questions, f"{STAT}.description", to("Is it so? Then do this."), "which question it answers"),
    (questions, f"{STAT}.description", to("**It is so.**\n\nDo this."), "which question"),
    (questions, f"{STAT}.description", to("**Is it so?**"), "which question it answers, and more"),
    (questions, f"{STAT}.description", to("**Is it so?**\n\nDo"), "ends within a sentence"),
    (existing_names, f"{STAT}.description", to("Runbook PostgresFull."), "names PostgresFull, wh"),
    (existing_names, f"{STAT}.description", to("See `pgconn_full`."), "names pgconn_full, which"),
    (short_texts, f"{TEXT}.options.content", to("word " * 61), "Read: has 61 words"),
    (short_texts, f"{TEXT}.options.content", to(""), "Read: has 0 words"),
    (nothing_found, f"{STAT}.{OPTIONS}.noValue", to(""), "Used: does not say"),
    # Colours
    (named_values, f"{STEPS}.1.value", to(0.8), "Used: 0.8 is no threshold of the alerts"),
    (named_values, f"{STEPS}.1.value", to("@{slots}"), "'@{slots}' is no threshold"),
    (named_values, STEPS, lambda them: [them[0], them[2], them[1]], "are not in order"),
    (same_as_alerts, f"{STEPS}.1.color", to("red"), "red at slots_high, where no critical"),
    (same_as_alerts, f"{STEPS}.2.color", to("orange"), "orange at slots_critical, where no"),
    (same_as_alerts, f"{STEPS}.1.value", to("@{peak_high}"), "orange at peak_high"),
    (same_as_alerts, f"{STEPS}.0.color", to("red"), "Used: red at slots_high"),
    (same_as_alerts, f"{STEPS}.2.value", to(1), "Used: red at 1"),
    (same_as_alerts, f"{STAT}.{EXPR}", to(HELD), "Used: orange at slots_high"),
    (same_as_alerts, f"{TABLE}.{SECOND}", to(HELD), "Holders, Lost: orange at orphans_many"),
    (same_as_alerts, f"{GRAPH}.{SECOND}", without("_up", "_slots_used"), "Course: red at 0"),
    (
        same_as_alerts,
        f"{GRAPH}.{OPTIONS}.mappings.0.options",
        lambda words: {"1": words["0"]},
        "Course: red at 1, where no critical alert fires",
    ),
    (same_unit, f"{STAT}.{OPTIONS}.unit", to("percent"), "slots_high is a ratio"),
    (palette, f"{STEPS}.1.color", to("dark-red"), "Used: dark-red is none of our colours"),
    (palette, f"{GRAPH}.{OPTIONS}.color", to({"fixedColor": "red"}), "Course: is red whatever"),
    (palette, f"{MARK}.iconColor", to("orange"), "annotation Pages: is orange"),
)


@pytest.mark.parametrize(("check", "path", "change", "complaint"), BROKEN)
def test_broken(check: Check, path: str, change: Change, complaint: str) -> None:
    """What is broken is complained of, by the name of the panel."""
    assert any(complaint in found for found in check(broken(path, change)))


def test_all_are_tested() -> None:
    """No check is without something that it complains of."""
    assert set(CHECKS) == {check for check, *_ in BROKEN}


def whole() -> Iterator[tuple[Check, str, Change]]:
    """Give what looks broken and is not."""
    deadlocks = f"max by (target) (increase(pgconn_database_deadlocks_total{CHOSEN}[15m]))"
    yield target_rate_interval, f"{GRAPH}.{EXPR}", to(deadlocks)
    yield target_job_and_instance, f"{STAT}.{EXPR}", without('target=~"$target"', 'target!=""')
    yield existing_columns, f"{TABLE}.{EXPR}", to(HELD.replace("max", "sum"))
    yield resolves, f"{TEXT}.options.content", to("Ask `http://HOST:PORT/metrics`.")
    # A line at a threshold, what is there only while an alert fires, and how many fire.
    yield palette, f"{GRAPH}.targets.0.expr", to(OPENED)
    yield same_as_alerts, f"{GRAPH}.{SECOND}", to(ALERTS)
    down = f"max by (target) (pgconn_up{CHOSEN} == bool 0)"
    yield same_as_alerts, f"{GRAPH}.{SECOND}", to(f"{down} or on (target) 0 * {RATIO}")


@pytest.mark.parametrize(("check", "path", "change"), list(whole()))
def test_not_broken(check: Check, path: str, change: Change) -> None:
    """Nothing is complained of without need."""
    assert list(check(broken(path, change))) == []


def test_links_by_value() -> None:
    """Where a label says which dashboard, each that it may say is looked at."""
    dashboard = broken(ROW_URL, without("pgconn-connections", "${__value.raw}"))
    target = dashboard["panels"][3]["targets"][0]
    for uid, complaints in (("pgconn-load", 0), ("pgconn-x", 1)):
        target["expr"] = f'label_replace({HELD}, "next", "{uid}", "client", ".*")'
        assert len(list(resolves(dashboard))) == complaints


def test_lines_at_thresholds() -> None:
    """A line may be as red as the alert that fires from it on, and not as another one."""
    dashboard = broken(f"{GRAPH}.{SECOND}", to("@{slots_critical} * " + RATIO))
    dashboard["panels"][4]["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byFrameRefID", "options": "B"},
            "properties": [{"id": "color", "value": {"fixedColor": "red"}}],
        }
    ]
    assert list(palette(dashboard)) == []
    dashboard["panels"][4]["targets"][1]["expr"] = "@{slots_high} * " + RATIO
    assert list(palette(dashboard)) == ["Course, B: is red whatever its value is"]


def test_numbers_differ() -> None:
    """A threshold that was filled in as another number is told, and so is red by its name."""
    assert different(["@{slots_high}", {"value": "x"}], [0.8, {"value": "x"}]) == []
    assert different({"value": "@{slots_high}"}, {"value": 0.9}) == ["@{slots_high} is 0.9"]
    assert named_in_red(example()) >= {"slots_critical"}
