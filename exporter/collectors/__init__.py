"""The collectors, by the read whose snapshots they take. A new one is a file and a line here."""

from typing import Final

from exporter.collectors import polling
from exporter.collectors.base import Collector, Options
from exporter.collectors.blocking import Blocking
from exporter.collectors.churn import Churn
from exporter.collectors.connections import (
    ClientTotals,
    ConnectionAges,
    Connections,
    IdleAges,
)
from exporter.collectors.load import Load
from exporter.collectors.probe import Probe
from exporter.collectors.queries import Queries
from exporter.collectors.server import Server
from exporter.collectors.slots import ConnectionLimits, SlotsConfigured, SlotsUsed
from exporter.collectors.statements import StatementMeans
from exporter.diagnosis.sightings import Sighting
from exporter.exposition import Metric
from exporter.snapshot import Limits, ProbeResult, Settings

ACTIVITY: Final[tuple[type[Collector[Sighting]], ...]] = (
    SlotsUsed,
    Connections,
    ConnectionAges,
    IdleAges,
    ClientTotals,
    Churn,
    Load,
    Blocking,
    Queries,
)
SETTINGS: Final[tuple[type[Collector[Settings]], ...]] = (Server, SlotsConfigured)
DATABASES: Final[tuple[type[Collector[Limits]], ...]] = (ConnectionLimits,)
PROBE: Final[tuple[type[Collector[ProbeResult]], ...]] = (Probe,)

METRICS: Final[tuple[Metric, ...]] = (
    *polling.METRICS,
    *(
        metric
        for group in (SETTINGS, PROBE, ACTIVITY, DATABASES)
        for c in group
        for metric in c.metrics
    ),
    *StatementMeans.metrics,
)
"""Every metric of a target, in the order of the page."""

__all__ = ["ACTIVITY", "DATABASES", "METRICS", "PROBE", "SETTINGS", "Options", "StatementMeans"]
