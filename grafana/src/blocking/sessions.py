"""How the rows tell sessions apart, and the columns that say whose they are."""

from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house import Column, to

CONNECTIONS: Final = to(Dashboard.CONNECTIONS, "target", "client")
"""From a line to the connections of its client."""

TARGET: Final = Column(name="target", title="Target", width=90)
"""The server."""

CLIENT: Final = Column(
    name="client",
    title="Client",
    width=120,
    links=(to(Dashboard.CONNECTIONS, "target", "client", row=True),),
)
"""The client, with the way to its connections."""

USER: Final = Column(name="usename", title="User", width=90)
"""The role."""

APPLICATION: Final = Column(name="application_name", title="Application")
"""What the session calls itself; it takes the width that is left."""

DATABASE: Final = Column(name="datname", title="Database", width=100)
"""The database, where the application has the width that is left."""

STATE: Final = Column(name="state", title="State", width=170)
"""What the session does."""
