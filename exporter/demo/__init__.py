"""A throw-away PostgreSQL with a leaking application, and the exporter in front of it."""
