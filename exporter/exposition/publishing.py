"""Everything that is published, and the pages made of it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from exporter.exposition.blocks import Block, Deflater, gzipped, plain
from exporter.exposition.folding import SERIES_FOLDED, FoldedCounter, limited
from exporter.exposition.model import Kind, Metric, Sample
from exporter.exposition.rendering import (
    Format,
    Lines,
    Renderer,
    heading,
    openmetrics_family,
    text_families,
)

END = "# EOF\n"

UP = Metric(
    "pgconn_up",
    Kind.GAUGE,
    "1 while the newest activity poll of the target is fresh and succeeded, else 0.",
)


@dataclass(slots=True)
class _Publication:
    """What one collector of one target last said, and how long it holds (monotonic clock)."""

    lines: Lines
    expires: float
    heads: dict[tuple[str, tuple[str, ...]], str]


class _Page(NamedTuple):
    """A ready body, and until when it holds."""

    expires: float
    body: bytes


class _Question(NamedTuple):
    """What somebody wants to read: a target's samples, the exporter's own ones, or all."""

    form: Format
    target: str | None
    own: bool
    compress: bool

    def is_about(self, owner: str | None) -> bool:
        """Tell whether the samples of a target (None for the exporter) are wanted."""
        if self.own:
            return owner is None
        return self.target in (None, owner)


class Exposition:
    """Everything that is published, and the pages made of it.

    Made for one event loop: no method waits and none is safe for other threads.
    """

    def __init__(
        self, metrics: Iterable[Metric], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take every metric there is, in the order of the page."""
        declared = (UP, SERIES_FOLDED, *metrics)
        block = Deflater().block
        self._clock = clock
        self._headings = {
            Format.TEXT: [
                (family.name, block(heading(family)))
                for metric in declared
                for family in text_families(metric)
            ],
            Format.OPENMETRICS: [
                (metric.name, block(heading(openmetrics_family(metric)))) for metric in declared
            ],
        }
        self._ends = {Format.TEXT: (), Format.OPENMETRICS: (block(END),)}
        self._vital: dict[str, str] = {}
        self._up: dict[str, tuple[_Publication, _Publication]] = {}
        self._published: dict[tuple[str | None, str], _Publication] = {}
        # Kept while a publication is withdrawn: what comes back must not be less.
        self._counters: dict[tuple[str | None, str], dict[Metric, FoldedCounter]] = {}
        self._live: list[Callable[[], Iterable[Sample]]] = []
        # Dropped with every change: however many are asked for, those of the past are not kept.
        self._pages: dict[_Question, _Page] = {}

    @property
    def targets(self) -> tuple[str, ...]:
        """Give the names of the targets."""
        return tuple(self._vital)

    def watch(self, target: str, vital: str) -> None:
        """Show a target, up while its vital collector's publication is fresh."""
        self._vital[target] = vital
        down, up = (self._rendered(target, [Sample(UP, (), value)]) for value in (0, 1))
        self._up[target] = down, up
        self._pages.clear()

    def forget(self, target: str) -> None:
        """Drop a target and all of its series."""
        self._vital.pop(target, None)
        self._up.pop(target, None)
        for key in [key for key in self._published if key[0] == target]:
            del self._published[key]
        for key in [key for key in self._counters if key[0] == target]:
            del self._counters[key]
        self._pages.clear()

    def add_live(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Have samples of the exporter itself read anew for each changed page."""
        self._live.append(samples)

    def publish(
        self,
        target: str | None,
        collector: str,
        samples: Iterable[Sample],
        *,
        lifetime: float = math.inf,
        max_series: int | None = None,
    ) -> None:
        """Replace what a collector said; it holds for `lifetime` seconds."""
        groups = _grouped(samples)
        if max_series is not None:
            counters = self._counters.setdefault((target, collector), {})
            groups = limited(groups, max_series, counters)
        before = self._published.get((target, collector))
        renderer = Renderer(target, before.heads if before else {})
        self._published[target, collector] = _Publication(
            renderer.lines(groups), self._clock() + lifetime, renderer.heads
        )
        self._pages.clear()

    def withdraw(self, target: str, collector: str) -> None:
        """Take back what a collector said, since it is no longer known to be true."""
        if self._published.pop((target, collector), None) is not None:
            self._pages.clear()

    def is_up(self, target: str) -> bool:
        """Tell whether the vital publication of a target is fresh."""
        vital = self._published.get((target, self._vital[target]))
        return vital is not None and vital.expires > self._clock()

    def page(
        self,
        form: Format = Format.TEXT,
        target: str | None = None,
        *,
        own: bool = False,
        compress: bool = False,
    ) -> bytes:
        """Give the page of all targets and the exporter, made anew only after a change.

        With a target, it is that one's; with `own`, it is that of the exporter itself alone.
        """
        now = self._clock()
        question = _Question(form, target, own, compress)
        page = self._pages.get(question)
        if page is None or page.expires <= now:
            page = self._pages[question] = self._make(question, now)
        return page.body

    def _make(self, question: _Question, now: float) -> _Page:
        form = question.form
        shown = [
            publication
            for (owner, _), publication in self._published.items()
            if publication.expires > now and question.is_about(owner)
        ]
        lines = [publication.lines.of(form) for publication in (*shown, *self._current(question))]
        blocks = self._blocks(form, lines)
        return _Page(
            min((publication.expires for publication in shown), default=math.inf),
            gzipped(blocks) if question.compress else plain(blocks),
        )

    def _blocks(self, form: Format, lines: list[dict[str, Block]]) -> Iterator[Block]:
        by_family: defaultdict[str, list[Block]] = defaultdict(list)
        for families in lines:
            for name, block in families.items():
                by_family[name].append(block)
        for name, title in self._headings[form]:
            if name in by_family:
                yield title
                yield from by_family[name]
        yield from self._ends[form]

    def _current(self, question: _Question) -> Iterator[_Publication]:
        """Give what is known only with the page: `up`, and the exporter's own state."""
        for name in self._vital:
            if question.is_about(name):
                yield self._up[name][self.is_up(name)]
        if question.is_about(None):
            for samples in self._live:
                yield self._rendered(None, samples())

    def _rendered(self, target: str | None, samples: Iterable[Sample]) -> _Publication:
        return _Publication(Renderer(target, {}).lines(_grouped(samples)), math.inf, {})


def _grouped(samples: Iterable[Sample]) -> dict[Metric, list[Sample]]:
    groups: defaultdict[Metric, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.metric].append(sample)
    return groups
