"""What grafana/dashboard-linter insists on, its rules by their names, without an exclusion.

Where a rule looks at some kinds of panels only, it is held for all of them here.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any, Final

import promql_parser as promql

from exporter.alerts import GROUPS
from exporter.alerts.rendering import Options
from exporter.alerts.rendering import promql as as_rendered
from tests.unit.alerts.promql import DECLARED, selectors_of
from tests.unit.dashboards.reading import (
    RATE_INTERVAL,
    Check,
    Document,
    all_queries,
    annotations,
    asking,
    called,
    names_of_variables,
    options_of,
    panels,
    targets,
    variables,
)

SOURCES: Final = {"$datasource", "${datasource}"}

# Those of Grafana's units, all known to the linter, that anything of ours can be in.
UNITS: Final = frozenset(
    {
        *("none", "short", "string", "bool", "bool_yes_no", "bool_on_off"),
        *("percent", "percentunit", "bytes", "decbytes", "binBps", "Bps"),
        *("ms", "s", "m", "h", "d", "dtdurations", "dtdhms", "clocks"),
        *("dateTimeAsIso", "dateTimeAsSystem", "dateTimeFromNow"),
        *("cps", "ops", "reqps", "rps", "iops", "cpm", "opm"),
    }
)

_LABEL_VALUES: Final = re.compile(r"label_values\((?P<series>.+), *(?P<label>\w+)\)")
_COUNTING: Final = {"rate", "irate", "increase"}


def template_datasource(dashboard: Document) -> Iterator[str]:
    """Insist on one variable for the data source, by the name and label that people expect."""
    sources = [each for each in variables(dashboard) if each["type"] == "datasource"]
    found = [(each["name"], each.get("label"), each.get("query")) for each in sources]
    if found != [("datasource", "Data source", "prometheus")]:
        yield f"variables: data sources are {found}"


def template_job_and_instance(dashboard: Document) -> Iterator[str]:
    """Insist that several jobs, instances and targets can be chosen, or all of them."""
    for name in {"job", "instance", "target"} - names_of_variables(dashboard):
        yield f"${name}: is missing"
    for variable in variables(dashboard):
        if variable["type"] != "query":
            continue
        where = f"${variable['name']}"
        if variable.get("datasource", {}).get("uid") not in SOURCES:
            yield f"{where}: is not of the chosen data source"
        if variable.get("label") != variable["name"].title():
            yield f"{where}: has the label {variable.get('label')!r}"
        if not (variable.get("multi") and variable.get("includeAll")):
            yield f"{where}: not several can be chosen"
        if variable.get("allValue") != ".+":
            yield f"{where}: all are {variable.get('allValue')!r}, not '.+'"


def template_label_promql(dashboard: Document) -> Iterator[str]:
    """Insist that a variable's values are a declared label's, of what was chosen before it."""
    chosen = {each["name"] for each in variables(dashboard) if each["type"] != "query"}
    for variable in variables(dashboard):
        if variable["type"] != "query":
            continue
        where, query = f"${variable['name']}", variable.get("query", "")
        found = _LABEL_VALUES.fullmatch(query if isinstance(query, str) else query["query"])
        if not found:
            yield f"{where}: {query!r} asks for no label's values"
            continue
        yield from _asks_for_labels(where, found["series"], found["label"], chosen)
        chosen.add(variable["name"])


def _asks_for_labels(where: str, series: str, label: str, chosen: set[str]) -> Iterator[str]:
    try:
        (selector,) = selectors_of(series)
    except ValueError as error:
        yield f"{where}: {error}"
        return
    declared = DECLARED.get(selector.name or "")
    if declared is None:
        yield f"{where}: there is no metric {selector.name}"
        return
    matchers = selector.matchers.matchers
    for unknown in {label, *(each.name for each in matchers)} - declared.labels:
        yield f"{where}: {unknown} is no label of {selector.name}"
    for matcher in matchers:
        if matcher.value.removeprefix("$") not in chosen:
            yield f"{where}: {matcher.value} is not chosen before it"


def template_on_time_change_reload(dashboard: Document) -> Iterator[str]:
    """Insist on reading variables anew: another time range may know other clients."""
    for variable in variables(dashboard):
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"${variable['name']}: is not refreshed with the time range"


def panel_datasource(dashboard: Document) -> Iterator[str]:
    """Insist that all that asks asks the chosen data source."""
    asked = [(called(panel), panel) for panel in panels(dashboard)]
    asked += [(called(panel), target) for panel in asking(dashboard) for target in targets(panel)]
    asked += [(f"annotation {mark['name']}", mark) for mark in annotations(dashboard)]
    for where, asks in asked:
        if asks.get("datasource", {}).get("uid") not in SOURCES:
            yield f"{where}: does not ask the chosen data source"


def panel_title_description(dashboard: Document) -> Iterator[str]:
    """Insist on a title and a description."""
    for panel in panels(dashboard):
        for name in ("title", "description"):
            if not panel.get(name, "").strip():
                yield f"{called(panel)}: has no {name}"


def panel_units(dashboard: Document) -> Iterator[str]:
    """Insist on a unit that Grafana and its linter know."""
    for panel in asking(dashboard):
        for whose, options in options_of(panel):
            unit = options.get("unit")
            if unit not in UNITS and ("unit" in options or not whose):
                yield f"{called(panel)}: {whose or 'it'} has the unit {unit!r}"


def panel_no_targets(dashboard: Document) -> Iterator[str]:
    """Insist that a panel asks for something."""
    for panel in asking(dashboard):
        if not targets(panel):
            yield f"{called(panel)}: asks for nothing"


def uneditable(dashboard: Document) -> Iterator[str]:
    """Insist that nobody edits what is provisioned: the next release would undo it."""
    if dashboard.get("editable") is not False:
        yield "dashboard: can be edited"


def target_promql(dashboard: Document) -> Iterator[str]:
    """Insist that each query is PromQL once variables are put in."""
    for query in all_queries(dashboard):
        try:
            promql.parse(query.expr)
        except ValueError as error:
            yield f"{query.where}: {query.expr!r}: {error}"


def target_rate_interval(dashboard: Document) -> Iterator[str]:
    """Insist that rates are over a range that has samples at every zoom and scrape interval.

    An alert may count over another one: a panel that is as red as that alert counts as it does.
    """
    for query in all_queries(dashboard):
        for call in _calls(query.expr):
            name, ranged = call.func.name, call.args[0]
            as_alerted = name == "increase" and _counted(call) in _counted_by_alerts()
            if ranged.range != timedelta(seconds=RATE_INTERVAL) and not as_alerted:
                yield f"{query.where}: {name}() is not over [$__rate_interval]"


def target_job_and_instance(dashboard: Document) -> Iterator[str]:
    """Insist that every selector takes only what was chosen.

    A selector may say itself which targets it is about, as those behind a PgBouncer; the targets
    that were chosen then stand elsewhere in the query.
    """
    for query in all_queries(dashboard):
        selectors = _selectors(query.expr)
        for selector in selectors:
            matchers = selector.matchers.matchers
            chosen = {
                each.name
                for each in matchers
                if each.op == promql.MatchOp.Re and each.value == f"${each.name}"
            }
            wanted = {"job", "instance"}
            if not any(each.name == "target" for each in matchers):
                wanted |= DECLARED[selector.name or ""].labels & {"target"}
            for name in sorted(wanted - chosen):
                yield f'{query.where}: {selector.name} is not selected by {name}=~"${name}"'
        of_targets = any("target" in DECLARED[each.name or ""].labels for each in selectors)
        if of_targets and "$target" not in query.expr:
            yield f"{query.where}: is about whatever target"


def target_counter_agg(dashboard: Document) -> Iterator[str]:
    """Insist on rates: the number that a counter has is of no use, only how it grows."""
    for query in all_queries(dashboard):
        counters = Counter(
            str(each) for each in _selectors(query.expr) if _is_counter(each.name or "")
        )
        counters -= Counter(str(call.args[0].vector_selector) for call in _calls(query.expr))
        for selector in counters:
            yield f"{query.where}: {selector} is a counter, and no rate of it"


def _is_counter(name: str) -> bool:
    return name.endswith("_total") or (name in DECLARED and DECLARED[name].counter)


@cache
def _counted_by_alerts() -> frozenset[tuple[str, timedelta]]:
    exprs = (as_rendered(rule.expr, Options()) for group in GROUPS for rule in group.rules)
    return frozenset(_counted(call) for expr in exprs for call in _calls(expr))


def _counted(call: Any) -> tuple[str, timedelta]:  # noqa: ANN401 - as the parser types it
    return call.args[0].vector_selector.name, call.args[0].range


@cache
def _selectors(expr: str) -> list[promql.VectorSelector]:
    try:
        found = selectors_of(expr)
    except ValueError:
        # Another rule is about what is no PromQL, and one of ours about metrics that are not there.
        return []
    return [each for each in found if each.name in DECLARED]


@cache
def _calls(expr: str) -> list[Any]:
    """Give where a range of samples is counted."""
    found: list[Any] = []

    def note(node: Any) -> None:  # noqa: ANN401 - as the parser types it
        if isinstance(node, promql.Call) and node.func.name in _COUNTING:
            found.extend([node] if isinstance(node.args[0], promql.MatrixSelector) else [])

    if _selectors(expr):
        promql.walk(promql.parse(expr), note)
    return found


LINTER: Final[tuple[Check, ...]] = (
    template_datasource,
    template_job_and_instance,
    template_label_promql,
    template_on_time_change_reload,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_no_targets,
    uneditable,
    target_promql,
    target_rate_interval,
    target_job_and_instance,
    target_counter_agg,
)
