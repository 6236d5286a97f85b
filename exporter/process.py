"""Metrics of our own process: prometheus_client's, and what build this is."""

from collections.abc import Iterator
from functools import cache

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric as Family

from exporter import __version__
from exporter.exposition import Kind, Metric, Sample

BUILD_INFO = Metric(
    "pgconn_build_info", Kind.GAUGE, "1; the version of pgconn-exporter.", ("version",)
)


@cache
def registry() -> CollectorRegistry:
    """Make the collectors, once: what they look up when they are made does not change."""
    made = CollectorRegistry()
    PlatformCollector(made)
    ProcessCollector(registry=made)
    return made


def families() -> list[Family]:
    """Read memory, processor time, file descriptors and the Python version."""
    return list(registry().collect())


@cache
def declaration(name: str, kind: str, text: str, labels: tuple[str, ...]) -> Metric:
    """Give the one declaration of a metric that prometheus_client names."""
    counter = kind == Kind.COUNTER
    return Metric(name, Kind.COUNTER if counter else Kind.GAUGE, f"{text.rstrip('.')}.", labels)


def samples() -> Iterator[Sample]:
    """Yield the state of our process."""
    yield Sample(BUILD_INFO, (__version__,), 1)
    for family in families():
        for name, labels, value, *_ in family.samples:
            metric = declaration(name, family.type, family.documentation, tuple(labels))
            yield Sample(metric, tuple(labels.values()), value)


def metrics() -> tuple[Metric, ...]:
    """Give what `samples` yields metrics of."""
    return tuple(dict.fromkeys(sample.metric for sample in samples()))
