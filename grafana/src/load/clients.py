"""How a line of a client is called, and where it leads."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import to

CLIENT_NAME: Final = "{{target}} {{client}}"
"""Names the line of a client."""

CLIENT_LINKS: Final = (to(Dashboard.CONNECTIONS, "target", "client"),)
"""Lead to the connections that the client holds."""
