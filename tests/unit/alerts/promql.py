"""What an expression of PromQL would do, found out without data: its labels, and the known traps.

Prometheus takes an expression whose sides never match, and one that fails as soon as there are two
series on a side. Here the labels of each part are followed from the declarations of the metrics.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import promql_parser as promql

from exporter.alerts.model import OWN_LABELS
from exporter.exposition import Kind
from exporter.reference import entries

SCRAPED: Final = frozenset({"job", "instance"})
OF_TARGET: Final = SCRAPED | {"target"}

COUNTED: Final = {"rate", "irate", "increase", "resets"}
MEASURED: Final = {"deriv", "predict_linear", "delta", "idelta"}
SETS: Final = {"and", "or", "unless"}
COMPARED: Final = {">", ">=", "<", "<=", "==", "!="}
PICKED: Final = {"topk", "bottomk"}
SELECTING: Final = (promql.MatchOp.Equal, promql.MatchOp.Re)

# One series a target, whatever its further labels say.
INFORMS: Final = {
    "pgconn_server_info": OF_TARGET,
    "pgconn_pgbouncer_info": OF_TARGET,
    "pgconn_build_info": SCRAPED,
}
SUFFIXES: Final[Mapping[Kind, Mapping[str, frozenset[str]]]] = {
    Kind.HISTOGRAM: {"_bucket": frozenset({"le"}), "_count": frozenset(), "_sum": frozenset()},
    Kind.SUMMARY: {"_count": frozenset(), "_sum": frozenset()},
    Kind.GAUGE_HISTOGRAM: {
        "_bucket": frozenset({"le"}),
        "_gcount": frozenset(),
        "_gsum": frozenset(),
    },
}


class Declared(NamedTuple):
    """A series' name as Prometheus knows it."""

    labels: frozenset[str]
    counter: bool


class Labels(NamedTuple):
    """The labels that series may have, and those that tell them apart."""

    names: frozenset[str]
    key: frozenset[str]


class TrapError(Exception):
    """What is wrong with an expression."""


def _declared() -> Iterator[tuple[str, Declared]]:
    for name in ("up", "scrape_duration_seconds", "scrape_samples_scraped"):
        yield name, Declared(SCRAPED, counter=False)
    yield "ALERTS", Declared(OWN_LABELS | {"alertstate"}, counter=False)
    yield "ALERTS_FOR_STATE", Declared(OWN_LABELS, counter=False)
    yield "ALERTS_FOR_STATE", Declared(OWN_LABELS, counter=False)
    for entry in entries():
        metric, labels = entry.metric, SCRAPED | frozenset(entry.labels)
        counter = metric.kind in {Kind.COUNTER, Kind.HISTOGRAM, Kind.SUMMARY}
        for suffix, more in SUFFIXES.get(metric.kind, {"": frozenset()}).items():
            yield metric.name + suffix, Declared(labels | more, counter)


DECLARED: Final = dict(_declared())


def labels_of(expression: str) -> Labels:
    """Give the labels of an expression's result; TrapError where it cannot work."""
    found = _labels(promql.parse(expression))
    if found is None:
        raise TrapError("is a number, not series")
    return found


def selectors_of(expression: str) -> list[promql.VectorSelector]:
    """Give what an expression reads, in the order in which it stands there."""
    found: list[promql.VectorSelector] = []

    def note(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(promql.parse(expression), note)
    return found


def metrics_of(expression: str) -> set[str]:
    """Give the names of the series that an expression reads."""
    return {selector.name or "" for selector in selectors_of(expression)}


def selects(selector: promql.VectorSelector, metric: str, labels: Mapping[str, str]) -> bool:
    """Tell whether a series is read."""
    return metric == selector.name and all(
        _matches(each, labels.get(each.name, "")) for each in selector.matchers.matchers
    )


def _matches(matcher: promql.Matcher, value: str) -> bool:
    same = matcher.op in (promql.MatchOp.Equal, promql.MatchOp.NotEqual)
    found = value == matcher.value if same else bool(re.fullmatch(matcher.value, value))
    return found == (matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re))


def _labels(node: Any) -> Labels | None:  # noqa: ANN401 - as the parser types it
    look = _LOOKS.get(type(node))
    return look(node) if look else None


def _declaration(name: str | None) -> Declared:
    try:
        return DECLARED[name or ""]
    except KeyError:
        raise TrapError(f"there is no metric {name}") from None


def _selected(node: promql.VectorSelector) -> Labels:
    labels, matchers = _declaration(node.name).labels, node.matchers.matchers
    if node.matchers.or_matchers:
        raise TrapError("only VictoriaMetrics knows `or` between matchers")
    _insist({matcher.name for matcher in matchers}, labels, node)
    fixed = {each.name for each in matchers if each.op == promql.MatchOp.Equal}
    if not any(each.name == "job" and each.op in SELECTING for each in matchers):
        raise TrapError(f"{node.name} is taken from any job")
    return Labels(labels, INFORMS.get(node.name or "", labels) - fixed)


def _insist(named: set[str], labels: frozenset[str], node: object) -> None:
    if unknown := named - labels:
        raise TrapError(f"{', '.join(sorted(unknown))} is no label of {node}")


def _aggregated(node: promql.AggregateExpr) -> Labels:
    inner = _labels(node.expr)
    assert inner is not None, "the parser lets no number be aggregated"
    by = _kept(node, inner)
    # Where the inner series are one a group already, what else is named adds nothing.
    key = by & inner.key if inner.key <= by else by
    if str(node.op) in PICKED:
        one = isinstance(node.param, promql.NumberLiteral) and node.param.val == 1
        return Labels(inner.names, key if one else inner.key)
    return Labels(by, key)


def _kept(node: promql.AggregateExpr, inner: Labels) -> frozenset[str]:
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    _insist(set(named), inner.names, node.expr)
    if str(node.modifier.type) == str(promql.AggModifierType.Without):
        return inner.names - named
    return named


def _called(node: promql.Call) -> Labels | None:
    name = node.func.name
    found = next(filter(None, map(_labels, node.args)), None)
    if name in {"scalar", "time"} or found is None:
        return Labels(frozenset(), frozenset()) if name == "vector" else None
    _insist_on_kind(name, node)
    if name.startswith("absent"):
        return Labels(_equalled(node.args[0]), frozenset())
    if name == "label_replace":
        _insist({node.args[3].val}, found.names, node.args[0])
        return Labels(found.names | {node.args[1].val}, found.key)
    if name == "label_join":
        _insist({each.val for each in node.args[3:]}, found.names, node.args[0])
        return Labels(found.names | {node.args[1].val}, found.key)
    if name == "histogram_quantile":
        return Labels(found.names - {"le"}, found.key - {"le"})
    return found


def _insist_on_kind(name: str, node: promql.Call) -> None:
    if name not in COUNTED | MEASURED:
        return
    ranges = node.args[0]
    if isinstance(ranges, promql.MatrixSelector):
        counter = _declaration(ranges.vector_selector.name).counter
        if counter != (name in COUNTED):
            kind = "a counter" if counter else "no counter"
            raise TrapError(f"{name}() of {ranges.vector_selector.name}, which is {kind}")
    elif name in COUNTED:
        raise TrapError(f"{name}() of {ranges}, in which a restart cannot be told")


def _equalled(node: Any) -> frozenset[str]:  # noqa: ANN401 - as the parser types it
    selector = node.vector_selector if isinstance(node, promql.MatrixSelector) else node
    if not isinstance(selector, promql.VectorSelector):
        return frozenset()
    equal = (each for each in selector.matchers.matchers if each.op == promql.MatchOp.Equal)
    return frozenset(each.name for each in equal)


def _combined(node: promql.BinaryExpr) -> Labels | None:
    left, right = _labels(node.lhs), _labels(node.rhs)
    if str(node.op) in {"/", "%"} and not _is_positive(node.rhs):
        raise TrapError(f"divides by {node.rhs}, which may be 0")
    if left is None or right is None:
        return left or right
    on = _matched(node, left, right)
    if str(node.op) in SETS:
        names, key = (left.names | right.names, left.key | right.key)
        return Labels(names, key) if str(node.op) == "or" else left
    return _joined(node, on, left, right)


def _matched(node: promql.BinaryExpr, left: Labels, right: Labels) -> frozenset[str]:
    """Give the labels by which the sides are matched; TrapError where they never match."""
    matching = node.modifier and node.modifier.matching
    named = frozenset(matching.labels) if matching else frozenset()
    if matching and str(matching.type) == str(promql.LabelModifierType.Include):
        _insist(set(named), left.names, node.lhs)
        _insist(set(named), right.names, node.rhs)
        return named
    ours, theirs = left.names - named, right.names - named
    if ours != theirs:
        differing = ", ".join(sorted(ours ^ theirs))
        raise TrapError(f"{differing} is on one side only, so {node} is never true")
    return ours


def _joined(node: promql.BinaryExpr, on: frozenset[str], left: Labels, right: Labels) -> Labels:
    card = str(node.modifier.card) if node.modifier else str(promql.VectorMatchCardinality.OneToOne)
    more = frozenset((node.modifier and node.modifier.group_labels) or ())
    many, one, side = left, right, node.rhs
    if card == str(promql.VectorMatchCardinality.OneToMany):
        many, one, side = right, left, node.lhs
    _insist_on_one(one, on, side)
    if card == str(promql.VectorMatchCardinality.OneToOne):
        _insist_on_one(many, on, node.lhs)
        return Labels(on, many.key)
    _insist(set(more), one.names, side)
    return Labels(many.names | more, many.key)


def _insist_on_one(side: Labels, on: frozenset[str], node: object) -> None:
    if several := side.key - on:
        raise TrapError(f"{node} may be several series, by {', '.join(sorted(several))}")


def _is_positive(node: Any) -> bool:  # noqa: ANN401 - as the parser types it
    match node:
        case promql.NumberLiteral():
            return node.val > 0
        case promql.ParenExpr():
            return _is_positive(node.expr)
        case promql.AggregateExpr():
            return str(node.op) in {"sum", "min", "max", "avg", *PICKED} and _is_positive(node.expr)
        case promql.Call():
            deciding = {"label_replace": 0, "label_join": 0, "clamp_min": 1}.get(node.func.name)
            return deciding is not None and _is_positive(node.args[deciding])
        case promql.BinaryExpr():
            return _is_positive_result(node)
    return False


def _is_positive_result(node: promql.BinaryExpr) -> bool:
    op, filters = str(node.op), not (node.modifier and node.modifier.return_bool)
    if op in {"and", "unless"}:
        return _is_positive(node.lhs)
    if op in {"*", "+", "or"}:
        return _is_positive(node.lhs) and _is_positive(node.rhs)
    least = node.rhs.val if isinstance(node.rhs, promql.NumberLiteral) else -1
    return filters and ((op == ">" and least >= 0) or (op == ">=" and least > 0))


_LOOKS: Final[Mapping[type, Callable[[Any], Labels | None]]] = {
    promql.VectorSelector: _selected,
    promql.MatrixSelector: lambda node: _selected(node.vector_selector),
    promql.ParenExpr: lambda node: _labels(node.expr),
    promql.UnaryExpr: lambda node: _labels(node.expr),
    promql.SubqueryExpr: lambda node: _labels(node.expr),
    promql.AggregateExpr: _aggregated,
    promql.Call: _called,
    promql.BinaryExpr: _combined,
}
