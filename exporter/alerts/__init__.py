"""The alert rules, in the order of an incident: what pages whom, and when.

The files in grafana/alerts are rendered from them; `pgconn-exporter export` renders them with a
user's own job, thresholds and URLs.
"""

from typing import Final

from exporter.alerts.model import Group, Rule
from exporter.alerts.slots import SLOTS

GROUPS: Final = (SLOTS,)

__all__ = ["GROUPS", "Group", "Rule"]
