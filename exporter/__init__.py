"""pgconn-exporter: a Prometheus exporter for the connections of PostgreSQL."""

__version__ = "0.1.0"
