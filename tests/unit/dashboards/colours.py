"""Whether red is what pages and orange what opens a ticket: by what the alerts compare with what.

The checks look at templates, in which thresholds still have their names.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final, NamedTuple

import promql_parser as promql

from exporter.alerts import GROUPS
from exporter.alerts.model import Severity
from exporter.alerts.rendering import Options, filled
from exporter.alerts.rendering import promql as as_rendered
from exporter.alerts.thresholds import DEFAULTS, UNITS
from exporter.alerts.units import Unit
from tests.unit.alerts.promql import COMPARED, metrics_of, selectors_of
from tests.unit.dashboards.reading import (
    Check,
    Document,
    Query,
    annotations,
    asking,
    called,
    columns,
    labels_in,
    options_of,
    queries,
)

RECKONED: Final = {"+", "-", "*", "/"}
MEANING: Final = {"red": Severity.CRITICAL, "orange": Severity.WARNING}
OTHERS: Final = {"green", "blue", "purple", "yellow", "#808080", "transparent", "text"}
SAME_UNIT: Final[Mapping[Unit, frozenset[str]]] = {
    Unit.RATIO: frozenset({"percentunit"}),
    Unit.SECONDS: frozenset({"s", "dtdurations"}),
    Unit.COUNT: frozenset({"short", "none"}),
    Unit.BYTES: frozenset({"bytes"}),
    Unit.PER_SECOND: frozenset({"cps", "ops", "reqps"}),
    Unit.FACTOR: frozenset({"short", "none", "percentunit"}),
}

_NAMED: Final = re.compile(r"@\{(\w+)\}")
_HOLDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
# Each threshold as a number that stands nowhere else.
_MARKED: Final = {name: 7_000_001.0 + place for place, name in enumerate(DEFAULTS)}
_MARKS: Final = {number: name for name, number in _MARKED.items()}


class Comparison(NamedTuple):
    """What an alert compares with what."""

    severity: Severity
    op: str
    """Empty where the threshold stands deeper within one side."""
    number: float
    metrics: frozenset[str]


class Coloured(NamedTuple):
    """A colour for values that begin, or for the base end, at a value."""

    where: str
    colour: str
    value: float | str
    """A number, or the name of a threshold, or a text that is shown in that colour."""
    base: bool
    unit: str
    queries: tuple[Query, ...]


@cache
def comparisons() -> tuple[Comparison, ...]:
    """Give all that the alerts compare; a threshold as the number that marks it."""
    options = Options(thresholds=_MARKED)
    return tuple(
        found
        for group in GROUPS
        for rule in group.rules
        for found in _compared(promql.parse(as_rendered(rule.expr, options)), rule.severity)
    )


def _compared(node: Any, severity: Severity) -> Iterator[Comparison]:  # noqa: ANN401 - as parsed
    compares = isinstance(node, promql.BinaryExpr) and str(node.op) in COMPARED
    if compares and not (node.modifier and node.modifier.return_bool):
        yield from _compared_here(node, severity)
    # What keeps a division from 0, or a target that is up, is not what the alert is about.
    aside = isinstance(node, promql.BinaryExpr) and str(node.op) in {"/", "and", "unless"}
    for part in _parts(node)[: 1 if aside else None]:
        yield from _compared(part, severity)
    if aside:
        yield from (each for each in _compared(node.rhs, severity) if each.number in _MARKS)


def _compared_here(node: promql.BinaryExpr, severity: Severity) -> Iterator[Comparison]:
    if isinstance(node.rhs, promql.NumberLiteral):
        for either in _alternatives(node.lhs):
            metrics = frozenset(metrics_of(str(either)))
            yield Comparison(severity, str(node.op), node.rhs.val, metrics)
        return
    metrics, numbers = frozenset(metrics_of(str(node))), list(_numbers(node))
    if not numbers:
        # More than something else: their difference is above 0.
        yield Comparison(severity, str(node.op), 0, metrics)
    for number in filter(_MARKS.__contains__, numbers):
        yield Comparison(severity, "", number, metrics)


def _alternatives(node: Any) -> Iterator[Any]:  # noqa: ANN401 - as the parser types it
    if isinstance(node, promql.ParenExpr):
        yield from _alternatives(node.expr)
    elif isinstance(node, promql.BinaryExpr) and str(node.op) == "or":
        yield from _alternatives(node.lhs)
        yield from _alternatives(node.rhs)
    else:
        yield node


def _numbers(node: Any) -> Iterator[float]:  # noqa: ANN401 - as the parser types it
    if isinstance(node, promql.NumberLiteral):
        yield node.val
    for part in _parts(node):
        if not (isinstance(part, promql.BinaryExpr) and str(part.op) in COMPARED):
            yield from _numbers(part)


def _parts(node: Any) -> list[Any]:  # noqa: ANN401 - as the parser types it
    if isinstance(node, promql.Call):
        return list(node.args)
    names = ("lhs", "rhs", "expr", "param")
    return [part for name in names if (part := getattr(node, name, None)) is not None]


def thresholds_of(severity: Severity) -> set[str]:
    """Give the thresholds from which on alerts of a severity fire."""
    found = (each for each in comparisons() if each.severity == severity and each.op)
    # Those below which something is nobody's harm are no colour's.
    names = {_MARKS[each.number] for each in found if each.number in _MARKS}
    return {name for name in names if not name.endswith("_from")}


def named_in_red(dashboard: Document) -> set[str]:
    """Give the thresholds from which on something is red."""
    return {str(each.value) for each in _coloured(dashboard) if each.colour == "red"}


def named_values(dashboard: Document) -> Iterator[str]:
    """Insist that a colour begins at a threshold of the alerts, or at no or yes, in order."""
    for panel in asking(dashboard):
        for whose, options in options_of(panel):
            where = f"{called(panel)}{whose and ', '}{whose}"
            values = [step.get("value") for step in _steps(options)]
            for value in values[1:]:
                name = _NAMED.fullmatch(value) if isinstance(value, str) else None
                if not (name[1] in DEFAULTS if name else value in {0, 1}):
                    yield f"{where}: {value!r} is no threshold of the alerts"
            numbers = [_default(value) for value in values[1:]]
            if any(low >= high for low, high in pairwise(numbers)):
                yield f"{where}: thresholds {values[1:]} are not in order"


def same_as_alerts(dashboard: Document) -> Iterator[str]:
    """Insist that red is where an alert pages, and orange where one opens a ticket."""
    for each in _coloured(dashboard):
        severity = MEANING.get(each.colour)
        if severity and not any(_alerts(each, severity, query) for query in each.queries):
            yield f"{each.where}: {each.colour} at {each.value}, where no {severity} alert fires"


def same_unit(dashboard: Document) -> Iterator[str]:
    """Insist that what is compared with a threshold has its unit."""
    for each in _coloured(dashboard):
        unit = UNITS.get(str(each.value))
        if unit and each.unit not in SAME_UNIT[unit]:
            yield f"{each.where}: {each.value} is a {unit}, and the panel's unit {each.unit}"


def palette(dashboard: Document) -> Iterator[str]:
    """Insist on few colours, of which red and orange are for alerts alone."""
    for panel in asking(dashboard):
        for whose, options in options_of(panel):
            where = f"{called(panel)}{whose and ', '}{whose}"
            fixed = options.get("color", {}).get("fixedColor", "text")
            if fixed not in OTHERS and not _is_line(fixed, _shown(panel, dashboard, whose)):
                yield f"{where}: is {fixed} whatever its value is"
            colours = [step["color"] for step in _steps(options)]
            colours += [said["color"] for _, said in _said(options) if "color" in said]
            for colour in sorted(set(colours) - OTHERS - set(MEANING)):
                yield f"{where}: {colour} is none of our colours"
    for mark in annotations(dashboard):
        severity = MEANING.get(mark.get("iconColor", ""))
        if severity and f'severity="{severity}"' not in mark["expr"]:
            yield f"annotation {mark['name']}: is {mark['iconColor']}, and no {severity} alert"


def _is_line(colour: str, shown: Iterable[Query]) -> bool:
    """Tell whether it is the line itself from which on an alert fires."""
    severity = MEANING.get(colour)
    return bool(severity) and all(_asks_for_threshold(query, severity) for query in shown)


def _asks_for_threshold(query: Query, severity: Severity | None) -> bool:
    asked, named = _metrics(query), set(_NAMED.findall(query.expr))
    return any(
        found.severity == severity and found.metrics & asked and _MARKS.get(found.number) in named
        for found in comparisons()
    )


def _metrics(query: Query) -> set[str]:
    expr = filled(query.expr, Options())
    return set() if labels_in(expr) is None else metrics_of(expr)


def _is_there_only_while(query: Query, severity: Severity) -> bool:
    """Tell whether something is found only while an alert's condition holds."""
    return _counts_alerts(query, severity) or _asks_for_threshold(query, severity)


def _alerts(each: Coloured, severity: Severity, query: Query) -> bool:
    """Tell whether an alert of that severity compares what is asked for with the same value."""
    if each.value not in UNITS and _is_there_only_while(query, severity):
        return True
    asked, own = _metrics(query), _reckons(query)
    return any(
        _same(each, found, own_values=own)
        for found in comparisons()
        if found.severity == severity and found.metrics <= asked
    )


def _reckons(query: Query) -> bool:
    """Tell whether the values are others than the metrics', but for what completes them."""
    if not _metrics(query):
        return False
    first, found = next(_alternatives(promql.parse(filled(query.expr, Options())))), []

    def note(node: Any) -> None:  # noqa: ANN401 - as the parser types it
        if isinstance(node, promql.BinaryExpr):
            found.append(str(node.op) in RECKONED or (node.modifier and node.modifier.return_bool))

    promql.walk(first, note)
    return any(found)


def _same(each: Coloured, found: Comparison, *, own_values: bool) -> bool:
    if isinstance(each.value, str):
        sides = {"<", "<=", ""} if each.base else {">", ">=", ""}
        return _MARKS.get(found.number) == each.value and found.op in sides
    value = each.value - 1 if each.base else each.value
    if found.number in _MARKS or not found.op:
        return False
    return own_values or _HOLDS[found.op](value, found.number)


def _counts_alerts(query: Query, severity: Severity) -> bool:
    if "ALERTS" not in _metrics(query):
        return False
    selectors = selectors_of(filled(query.expr, Options()))
    return any(each.value == severity for one in selectors for each in one.matchers.matchers)


def _coloured(dashboard: Document) -> Iterator[Coloured]:
    """Give each colour that stands for a value, with the queries whose values they are."""
    for panel in asking(dashboard):
        unit = next(options_of(panel))[1].get("unit", "")
        for whose, options in options_of(panel):
            shown = _shown(panel, dashboard, whose)
            where = f"{called(panel)}{whose and ', '}{whose}"
            for colour, value, base in _values(options):
                yield Coloured(where, colour, value, base, options.get("unit", unit), tuple(shown))


def _shown(panel: Document, dashboard: Document, whose: str) -> list[Query]:
    """Give the queries whose values stand in a column, or are meant by a letter."""
    fields = {title: name for name, title in columns(panel).items()}
    letter = fields.get(whose, whose).removeprefix("Value #")
    asked = queries(panel, dashboard)
    return [query for query in asked if query.letter == letter] or asked


def _values(options: Document) -> Iterator[tuple[str, float | str, bool]]:
    said = dict(_said(options))
    for key, result in said.items():
        if "color" in result:
            yield result["color"], key, False
    # Where words stand for yes and no, no other value has a colour.
    steps = [] if said.keys() >= {0, 1} else _steps(options)
    for place, step in enumerate(steps):
        base = place == 0
        value: Any = _first(steps) if base else step.get("value")
        name = _NAMED.fullmatch(str(value))
        yield step["color"], name[1] if name else float(value or 0), base


def _first(steps: list[Document]) -> Any:  # noqa: ANN401 - a number, or a threshold
    return steps[1]["value"] if len(steps) > 1 else 1


def _steps(options: Document) -> list[Document]:
    return list(options.get("thresholds", {}).get("steps") or ())


def _said(options: Document) -> Iterator[tuple[float | str, Document]]:
    """Give the words that stand for values, and for texts."""
    for mapping in options.get("mappings") or ():
        for value, result in mapping["options"].items():
            yield int(value) if value.isdigit() else value, result


def _default(value: object) -> float:
    name = _NAMED.fullmatch(value) if isinstance(value, str) else None
    return DEFAULTS.get(name[1], 0) if name else float(str(value))


COLOURS: Final[tuple[Check, ...]] = (named_values, same_as_alerts, same_unit, palette)
