"""What happened where a curve bends: changes and pages, marked in all graphs."""

from typing import Final

from grafana.src.house import Annotation
from grafana.src.incident.firing import firing

# A change that a look at every few minutes would step over is seen by the second half.
MARKS: Final = (
    Annotation(
        name="Server restarted",
        expr="""\
max by (target) (changes(pgconn_postmaster_start_time_seconds[2m])) > 0
or on (target)
max by (target) (changes(pgconn_postmaster_start_time_seconds[$__rate_interval])) > 0""",
        title="{{target}} was restarted",
        colour="purple",
    ),
    Annotation(
        name="Timeout changed",
        expr="max by (target, setting) (changes(pgconn_timeout_seconds[$__rate_interval])) > 0",
        title="{{setting}} of {{target}} was changed",
        colour="blue",
    ),
    Annotation(
        name="Exporter configured",
        expr="""\
max by (instance) (
  changes(pgconn_config_last_reload_success_timestamp_seconds[$__rate_interval])
) > 0""",
        title="The exporter has a new configuration",
        text="{{instance}}",
        colour="#808080",
    ),
    Annotation(
        name="Paged",
        expr=f"""\
max by (alertname, client) ({firing('severity="critical"')})
unless on (alertname, client)
max by (alertname, client) ({firing('severity="critical"', when=" offset $__interval")})""",
        title="{{alertname}}",
        text="{{client}}",
        colour="red",
    ),
)
"""Each change of a server, a timeout or the exporter's configuration, and each page."""
