"""The collectors, by the read whose snapshots they take. A new one is a file and a line here."""

from typing import Any, Final

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
from exporter.collectors.databases import DatabaseSessions
from exporter.collectors.load import Load
from exporter.collectors.orphans import Orphans
from exporter.collectors.pgbouncer import PgBouncerPools, PgBouncerSettings, PgBouncerTraffic
from exporter.collectors.probe import Probe
from exporter.collectors.queries import Queries
from exporter.collectors.replication import ReplicationSlots
from exporter.collectors.server import Server
from exporter.collectors.slots import ConnectionLimits, SlotsConfigured, SlotsUsed
from exporter.collectors.statements import StatementMeans
from exporter.collectors.timeouts import Timeouts
from exporter.diagnosis.sightings import Sighting
from exporter.exposition import Metric
from exporter.snapshot import Configuration, Databases, ProbeResult, Replication
from exporter.snapshot.pgbouncer import PgBouncerConfiguration, Pools, Traffic

Table = tuple[type[Collector[Any]], ...]

ACTIVITY: Final[tuple[type[Collector[Sighting]], ...]] = (
    SlotsUsed,
    Connections,
    ConnectionAges,
    IdleAges,
    ClientTotals,
    Churn,
    Load,
    Orphans,
    Blocking,
    Queries,
)
SETTINGS: Final[tuple[type[Collector[Configuration]], ...]] = (Server, SlotsConfigured)
DATABASES: Final[tuple[type[Collector[Databases]], ...]] = (ConnectionLimits, DatabaseSessions)
REPLICATION: Final[tuple[type[Collector[Replication]], ...]] = (ReplicationSlots,)
PROBE: Final[tuple[type[Collector[ProbeResult]], ...]] = (Probe,)

PGBOUNCER_POOLS: Final[tuple[type[Collector[Pools]], ...]] = (PgBouncerPools,)
PGBOUNCER_TRAFFIC: Final[tuple[type[Collector[Traffic]], ...]] = (PgBouncerTraffic,)
PGBOUNCER_SETTINGS: Final[tuple[type[Collector[PgBouncerConfiguration]], ...]] = (
    PgBouncerSettings,
)

_TABLES: Final[tuple[Table, ...]] = (
    SETTINGS,
    (Timeouts,),
    PROBE,
    ACTIVITY,
    DATABASES,
    (StatementMeans,),
    REPLICATION,
    PGBOUNCER_SETTINGS,
    PGBOUNCER_POOLS,
    PGBOUNCER_TRAFFIC,
)

METRICS: Final[tuple[Metric, ...]] = (
    *polling.METRICS,
    *(metric for table in _TABLES for collector in table for metric in collector.metrics),
)
"""Every metric of a target, in the order of the page."""

__all__ = [
    "ACTIVITY",
    "DATABASES",
    "METRICS",
    "PGBOUNCER_POOLS",
    "PGBOUNCER_SETTINGS",
    "PGBOUNCER_TRAFFIC",
    "PROBE",
    "REPLICATION",
    "SETTINGS",
    "Options",
    "StatementMeans",
    "Timeouts",
]
