"""The exposition: what /metrics serves.

Sample lines are rendered when a collector publishes, over label strings that are kept from one
publication to the next, and compressed at once. A scrape only joins ready pieces, once for each
change: it costs the same for one target as for many scrapers. Formats: Prometheus text 0.0.4 and
OpenMetrics 1.0. Samples of all targets are merged by metric, as both formats demand.
"""

from exporter.exposition.folding import SERIES_FOLDED
from exporter.exposition.model import OTHER, Distribution, Fold, Kind, Metric, Sample
from exporter.exposition.publishing import UP, Exposition
from exporter.exposition.rendering import Format

__all__ = [
    "OTHER",
    "SERIES_FOLDED",
    "UP",
    "Distribution",
    "Exposition",
    "Fold",
    "Format",
    "Kind",
    "Metric",
    "Sample",
]
