"""The alert rules, in the order of an incident: what pages whom, and when.

The files in grafana/alerts are rendered from them; `pgconn-exporter export` renders them with a
user's own job, thresholds and URLs.
"""

from typing import Final

from exporter.alerts.blocking import BLOCKING
from exporter.alerts.clients import CLIENTS
from exporter.alerts.model import Group, Rule
from exporter.alerts.orphans import ORPHANS
from exporter.alerts.pgbouncer import PGBOUNCER
from exporter.alerts.queries import QUERIES
from exporter.alerts.replication import REPLICATION
from exporter.alerts.slots import SLOTS
from exporter.alerts.timeouts import TIMEOUTS
from exporter.alerts.trust import TRUST

GROUPS: Final = (
    TRUST,
    SLOTS,
    CLIENTS,
    ORPHANS,
    BLOCKING,
    QUERIES,
    PGBOUNCER,
    TIMEOUTS,
    REPLICATION,
)

__all__ = ["GROUPS", "Group", "Rule"]
