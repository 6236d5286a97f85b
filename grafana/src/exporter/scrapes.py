"""What Prometheus itself tells of each exporter's scrapes."""

from typing import Final

# The data source knows of other jobs, too.
_OURS: Final = "and on (job) last_over_time(pgconn_up[1d])"


def by_exporter(metric: str) -> str:
    """Give a metric of our scrapes, with the exporter's host and port as the label `exporter`."""
    # One scrape for all targets has the instance host:port, that of one target host:port/target.
    return f'label_replace({metric}, "exporter", "$1", "instance", "([^/]*).*") {_OURS}'
