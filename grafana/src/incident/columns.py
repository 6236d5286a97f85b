"""Columns that the tables of culprits have in common."""

from typing import Final

from grafana.src.house import Column

TARGET: Final = Column(name="target", title="Target", width=80)
"""The PostgreSQL server."""

DATABASE: Final = Column(name="datname", title="Database", width=120)
"""The database of a session or a statement."""
