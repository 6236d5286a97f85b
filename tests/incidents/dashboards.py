"""See in a replay that panels show something: each query is asked as Grafana asks it."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import Options
from exporter.dashboards.rendering import rendered
from tests.dashboards.grafana import (
    Labels,
    Span,
    interpolated,
    legend_labels,
    linked_labels,
    table_problems,
    values_asked,
)
from tests.dashboards.panels import Panel, Shown, Target, parsed
from tests.dashboards.preferred import preferred
from tests.incidents.faster import faster_dashboard

LOOKED_BACK: Final = 30  # seconds: a quarter of an hour
COMPARED: Final = "4s"  # with what was so long ago: a replay has no yesterday
TURN: Final = 0.5  # seconds between two looks


def faster_dashboards(options: Options) -> dict[Dashboard, Shown]:
    """Give the dashboards as they are shipped, but faster."""
    return {uid: parsed(uid, faster_dashboard(rendered(uid, options))) for uid in Dashboard}


@dataclass(frozen=True, slots=True)
class Series:
    """A series that Prometheus gave: its labels, and all of its values."""

    labels: Labels
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A data source: Prometheus, and how often it scrapes."""

    session: aiohttp.ClientSession
    url: str
    scrapes: float

    async def shows(
        self, dashboards: Iterable[tuple[Shown, Iterable[Panel]]], patience: float
    ) -> None:
        """See that panels show something, and that no query of a dashboard is wrong."""
        chosen = list(dashboards)
        panels = [(shown, panel) for shown, panels in chosen for panel in panels]
        await _right(panels, self._problems, patience)
        await asyncio.gather(*(self._can_be_chosen(shown) for shown, _ in chosen))

    async def prefers(
        self, queries: Iterable[tuple[Shown, Panel, Target]], patience: float
    ) -> None:
        """See that each left side of an `or` in them was there: its right side hides that."""
        sides = [
            (f"{shown.uid} / {panel.title}: {target.ref}", expr, span)
            for shown, panel, target in queries
            for span in [Span(LOOKED_BACK, self.scrapes, panel.interval)]
            for expr in preferred(_asked(target, shown, span))
        ]
        await _right(sides, self._absent, patience)

    async def _absent(self, where: str, expr: str, span: Span) -> list[str]:
        return [] if await self._range(expr, span) else [f"{where} has no {expr}"]

    async def _can_be_chosen(self, shown: Shown) -> None:
        """See that each variable has values, and that what is marked in graphs can be asked for."""
        span = Span(LOOKED_BACK, self.scrapes)
        for query in (each.query for each in shown.variables if each.query):
            selector, label = values_asked(interpolated(query, shown.variables, {}, span))
            asked = {"match[]": selector, "start": str(time.time() - LOOKED_BACK)}
            assert await self._ask(f"label/{label}/values", asked), (shown.uid, query)
        for mark in shown.annotations:
            await self._answer(shown, mark, span, time.time())

    async def _problems(self, shown: Shown, panel: Panel) -> list[str]:
        span, now = Span(LOOKED_BACK, self.scrapes, panel.interval), time.time()
        try:
            given = [await self._answer(shown, target, span, now) for target in panel.targets]
        except RejectedError as error:
            problems = [str(error)]
        else:
            problems = list(_problems_of(panel, dict(zip(panel.targets, given, strict=True))))
        return [f"{shown.uid} / {panel.title}: {problem}" for problem in problems]

    async def _answer(self, shown: Shown, target: Target, span: Span, now: float) -> list[Series]:
        """Ask as of one moment: the queries of a panel are about the same."""
        expr = _asked(target, shown, span)
        if not target.instant:
            return await self._range(expr, span, now)
        answer = await self._ask("query", {"query": expr, "time": str(now)})
        return list(map(_series, answer["result"]))

    async def _range(self, expr: str, span: Span, now: float | None = None) -> list[Series]:
        end = now or time.time()
        times = {"start": str(end - span.length), "end": str(end), "step": str(span.step)}
        answer = await self._ask("query_range", {"query": expr} | times)
        return list(map(_series, answer["result"]))

    async def _ask(self, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        url = f"{self.url}/api/v1/{path}"
        async with self.session.get(url, params=parameters) as response:
            answer = await response.json()
        if answer["status"] != "success" or answer.get("warnings"):
            raise RejectedError(f"{answer.get('error') or answer['warnings']}: {parameters}")
        return answer["data"]


async def _right(
    waiting: Sequence[tuple[Any, ...]],
    problems: Callable[..., Awaitable[list[str]]],
    patience: float,
) -> None:
    """Wait until each has had no problems; the arguments by which to ask are what waits."""
    deadline = time.monotonic() + patience
    while waiting:
        found = await asyncio.gather(*(problems(*each) for each in waiting))
        told = "\n".join(each for those in found for each in those)
        assert not told or time.monotonic() < deadline, told
        waiting = [each for each, those in zip(waiting, found, strict=True) if those]
        await asyncio.sleep(TURN if waiting else 0)


class RejectedError(Exception):
    """Prometheus does not take a query, or warns of it."""


def _asked(target: Target, shown: Shown, span: Span) -> str:
    return interpolated(target.expr, shown.variables, {"compare": COMPARED}, span)


def _series(given: Mapping[str, Any]) -> Series:
    points = given["values"] if "values" in given else [given["value"]]
    return Series(given["metric"], tuple(float(value) for _, value in points))


def _problems_of(panel: Panel, answers: Mapping[Target, Sequence[Series]]) -> Iterator[str]:
    """Tell what a panel needs, and the answers to its queries do not have."""
    missing = [each for target in answers for each in _missing(target, answers[target])]
    if missing:
        yield from missing
        return
    if panel.kind == "table":
        labels = {target.ref: [each.labels for each in answers[target]] for target in answers}
        yield from table_problems(panel, labels)
    for target, series in answers.items():
        for label in sorted(linked_labels(panel, target.ref)):
            if not all(label in each.labels for each in series):
                yield f"{target.ref}: not all series have the {label} of a link: {_line(target)}"


def _missing(target: Target, series: Sequence[Series]) -> Iterator[str]:
    if not any(math.isfinite(value) for each in series for value in each.values):
        yield f"{target.ref} has no data: {_line(target)}"
        return
    # A label that is empty is none.
    for label in sorted(
        legend_labels(target.legend) - {name for each in series for name in each.labels}
    ):
        yield f"{target.ref}: no series has the {label} of the legend: {_line(target)}"
    if target.shape == "heatmap" and any(set(each.labels) != {"le"} for each in series):
        yield f"{target.ref}: a heatmap has buckets (le) and nothing else: {_line(target)}"


def _line(target: Target) -> str:
    return " ".join(target.expr.split())
