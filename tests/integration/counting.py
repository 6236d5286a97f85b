"""Hold everything that was ever scraped to what Prometheus expects of counters."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

Series = tuple[str, frozenset[tuple[str, str]]]

_COUNTING: Final = {"counter", "summary", "histogram"}
# A gauge histogram, which is written as a histogram in text.
_NOT_COUNTING: Final = "pgconn_idle_age_seconds"
_OF_THE_SERVER: Final = ("pgconn_database_", "pgconn_statement_", "pgconn_statements_")


class Counters:
    """Follows every counter through scrapes; it is an error where one falls that must not.

    What the exporter counts itself never falls. What the server counts may begin anew, and is
    noted: `falls` has the names, once for each time that any series of it has fallen.
    """

    def __init__(self) -> None:
        self.falls: list[str] = []
        self._last: dict[Series, float] = {}

    def follow(self, pages: Iterable[str]) -> None:
        """Take pages of text in the order in which they were scraped."""
        before = ""
        for page in pages:
            if page != before:
                self._take(page)
            before = page

    def _take(self, page: str) -> None:
        seen: set[Series] = set()
        fallen: set[str] = set()
        for kind, series, value in samples(text_families(page)):
            assert series not in seen, f"twice: {series}"
            assert value >= 0, f"{series}: {value}"
            seen.add(series)
            name = series[0]
            if kind not in _COUNTING or name.startswith(_NOT_COUNTING):
                continue
            if value < self._last.get(series, 0.0):
                assert name.startswith(_OF_THE_SERVER), f"{series}: {self._last[series]}, {value}"
                fallen.add(name)
            self._last[series] = value
        self.falls.extend(sorted(fallen))


def check_openmetrics(page: str) -> None:
    """Parse a page of OpenMetrics, strictly; no series may occur twice, or be negative."""
    seen: set[Series] = set()
    for _, series, value in samples(openmetrics_families(page)):  # type: ignore[no-untyped-call]
        assert series not in seen, f"twice: {series}"
        assert value >= 0, f"{series}: {value}"
        seen.add(series)


def samples(families: Iterable[Metric]) -> Iterator[tuple[str, Series, float]]:
    """Yield every sample: the type of its family, its series and its value."""
    for family in families:
        for name, labels, value, *_ in family.samples:
            yield family.type, (name, frozenset(labels.items())), value
