"""Samples as text: Prometheus text 0.0.4 and OpenMetrics 1.0."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from exporter.exposition.blocks import Block, Deflater
from exporter.exposition.model import Distribution, Kind, Metric, Sample, format_value


class Format(StrEnum):
    """An exposition format, by its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


# A byte that is no UTF-8, as Python's surrogateescape keeps it, or half a character.
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
_BYTES: Final = range(0xDC80, 0xDD00)


def escape_label(value: str) -> str:
    r"""Escape a label value.

    >>> print(escape_label('a "b" \\ c'))
    a \"b\" \\ c
    """
    # What is no text would make the whole page unreadable for every scraper.
    clean = value if value.isascii() else _NO_TEXT.sub(_spell, value)
    return clean.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _spell(found: re.Match[str]) -> str:
    """Write a byte as PostgreSQL does in application names, so that names stay apart."""
    number = ord(found[0])
    return f"\\x{number - 0xDC00:02x}" if number in _BYTES else "?"


def escape_help(text: str) -> str:
    """Escape a HELP text, so that both formats read the same."""
    return text.replace("\\", r"\\").replace("\n", r"\n")


def render_labels(names: Iterable[str], values: Iterable[str]) -> str:
    """Write the pairs between the braces of a series."""
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{escape_label(value)}"' for name, value in pairs)


class Family(NamedTuple):
    """A heading and the name under which its lines are kept."""

    name: str
    type: str
    help: str


def text_families(metric: Metric) -> list[Family]:
    """Give the families of a metric in text 0.0.4, which knows no gauge histogram."""
    if metric.kind is not Kind.GAUGE_HISTOGRAM:
        return [Family(metric.name, metric.kind, metric.help)]
    return [
        Family(metric.name, "histogram", metric.help),
        Family(f"{metric.name}_gcount", "gauge", f"{metric.help} Number of observations."),
        Family(f"{metric.name}_gsum", "gauge", f"{metric.help} Sum of observations."),
    ]


def openmetrics_family(metric: Metric) -> Family:
    """Give the family of a metric in OpenMetrics, where a counter's name has no suffix."""
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    return Family(name, metric.kind, metric.help)


def heading(family: Family) -> str:
    """Write the HELP and TYPE lines of a family."""
    name, kind, text = family
    return f"# HELP {name} {escape_help(text)}\n# TYPE {name} {kind}\n"


@dataclass(slots=True)
class Lines:
    """The lines of one publication, by family and format."""

    text: dict[str, Block] = field(default_factory=dict)
    openmetrics: dict[str, Block] = field(default_factory=dict)

    def of(self, form: Format) -> dict[str, Block]:
        """Give the lines for a format."""
        return self.text if form is Format.TEXT else self.openmetrics


class Renderer:
    """Render the samples of one publication, reusing the label strings of the one before."""

    def __init__(
        self, target: str | None, known: Mapping[tuple[str, tuple[str, ...]], str]
    ) -> None:
        """Take the target's name (None for metrics of the exporter) and the strings we had."""
        self._target = target
        self._known = known
        self._deflater = Deflater()
        self.heads: dict[tuple[str, tuple[str, ...]], str] = {}

    def labels(self, metric: Metric, values: tuple[str, ...]) -> str:
        """Give the label pairs of a series."""
        key = (metric.name, values)
        head = self._known.get(key)
        if head is None:
            head = self._render(metric, values)
        self.heads[key] = head
        return head

    def _render(self, metric: Metric, values: tuple[str, ...]) -> str:
        if self._target is None:
            return render_labels(metric.labels, values)
        return render_labels(("target", *metric.labels), (self._target, *values))

    def lines(self, samples: Mapping[Metric, list[Sample]]) -> Lines:
        """Render samples grouped by metric."""
        lines = Lines()
        for metric, group in samples.items():
            if metric.kind in (Kind.GAUGE, Kind.COUNTER):
                block = self._block(self._plain(group))
                lines.text[metric.name] = lines.openmetrics[metric.name] = block
            else:
                self._distributions(metric, group, lines)
        return lines

    def _block(self, parts: Iterable[str]) -> Block:
        return self._deflater.block("".join(parts))

    def _plain(self, group: list[Sample]) -> list[str]:
        """Give the lines of a gauge or counter; of two names that read the same, the first."""
        heads = [self.labels(metric, values) for metric, values, _ in group]
        if len(set(heads)) < len(heads):
            first = dict(reversed(list(zip(heads, group, strict=True))))
            heads, group = list(first), list(first.values())
        return [_line(sample, head) for sample, head in zip(group, heads, strict=True)]

    def _distributions(self, metric: Metric, group: list[Sample], lines: Lines) -> None:
        gauge = metric.kind is Kind.GAUGE_HISTOGRAM
        count, total = ("_gcount", "_gsum") if gauge else ("_count", "_sum")
        parts = [self._distribution(sample, count, total) for sample in group]
        # OpenMetrics wants the lines of one series together; text 0.0.4, where the count and the
        # sum of a gauge histogram are families of their own, wants each family together.
        lines.openmetrics[metric.name] = self._block(["".join(part) for part in parts])
        if gauge:
            for suffix, column in zip(("", count, total), zip(*parts, strict=True), strict=True):
                lines.text[metric.name + suffix] = self._block(column)
        else:
            lines.text[metric.name] = lines.openmetrics[metric.name]

    def _distribution(self, sample: Sample, count: str, total: str) -> tuple[str, str, str]:
        metric, values, value = sample
        assert isinstance(value, Distribution)  # noqa: S101 - the kind of the metric says so
        labels = self.labels(metric, values)
        comma = "," if labels else ""
        buckets = [
            f'{metric.name}_bucket{{{labels}{comma}le="{le}"}} {number}\n'
            for le, number in (value.buckets() if value.bounds else ())
        ]
        return (
            "".join(buckets),
            f"{metric.name}{count}{{{labels}}} {value.count}\n",
            f"{metric.name}{total}{{{labels}}} {format_value(value.sum)}\n",
        )


def _line(sample: Sample, labels: str) -> str:
    braces = f"{{{labels}}}" if labels else ""
    return f"{sample.metric.name}{braces} {format_value(sample.value)}\n"  # type: ignore[arg-type]
