"""Our connection to a PgBouncer's console, which speaks a part of PostgreSQL's protocol."""

from exporter.server.connection import Connection


class Console(Connection):
    """One kept connection to one PgBouncer's console."""
