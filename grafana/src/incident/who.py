"""What fires, and who it is: the alerts, and a table of each kind of culprit."""

from typing import Final

from grafana.src.house import Row
from grafana.src.incident.alerts import ALERTS
from grafana.src.incident.blockers import ROOT_BLOCKERS
from grafana.src.incident.holders import HOLDERS
from grafana.src.incident.statements import STATEMENTS

WHO: Final = Row("What fires, and who is it?", (ALERTS, HOLDERS, ROOT_BLOCKERS, STATEMENTS))
"""What fires, and the culprits of each kind."""
