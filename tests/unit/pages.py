"""Read pages back with prometheus_client's parsers, which are not ours."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from exporter.exposition import Exposition, Format, Metric, Sample

FORMATS: Final = tuple(Format)


class Series(NamedTuple):
    """A line's name and labels, these in the order of the alphabet."""

    name: str
    labels: tuple[tuple[str, str], ...]

    @property
    def values(self) -> tuple[str, ...]:
        """Give the values of the labels."""
        return tuple(value for _, value in self.labels)


def families(page: bytes, form: Format) -> list[Any]:
    """Parse a page."""
    parse: Any = parser if form is Format.TEXT else openmetrics
    return list(parse.text_string_to_metric_families(page.decode()))


def series(name: str, labels: Mapping[str, str]) -> Series:
    """Name a series as `read` does."""
    return Series(name, tuple(sorted(labels.items())))


def read(page: bytes, form: Format = Format.TEXT) -> dict[Series, float]:
    """Give every value on a page; each series may stand there once."""
    found: dict[Series, float] = {}
    for family in families(page, form):
        for sample in family.samples:
            key = series(sample.name, sample.labels)
            assert key not in found
            found[key] = sample.value
    return found


def published(
    *samples: Sample, target: str | None = "orders", max_series: int | None = None
) -> Exposition:
    """Publish samples of one collector."""
    metrics: dict[Metric, None] = dict.fromkeys(sample.metric for sample in samples)
    exposition = Exposition(metrics)
    exposition.publish(target, "collector", samples, max_series=max_series)
    return exposition
