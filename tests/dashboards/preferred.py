"""What an expression shows if it can: `a or b` is never empty where b is there, but a may be."""

from collections.abc import Iterator
from typing import Any

import promql_parser as promql


def preferred(expr: str) -> list[str]:
    """Give the left side of each `or` in an expression.

    >>> preferred('max by (target) (rate(waiting[5m]) or on (target) up * 0)')
    ['rate(waiting{}[5m])']
    >>> preferred('rate(a[5m]) or -(b > 1 or c)')
    ['rate(a{}[5m])', 'b{} > 1']
    """
    return list(_preferred(promql.parse(expr)))


def _preferred(node: Any) -> Iterator[str]:  # noqa: ANN401 - the parser's nodes have no common type
    match node:
        case (
            promql.ParenExpr() | promql.UnaryExpr() | promql.AggregateExpr() | promql.SubqueryExpr()
        ):
            yield from _preferred(node.expr)
        case promql.Call():
            for each in node.args:
                yield from _preferred(each)
        case promql.BinaryExpr():
            if str(node.op) == "or":
                yield str(node.lhs)
            yield from _preferred(node.lhs)
            yield from _preferred(node.rhs)
