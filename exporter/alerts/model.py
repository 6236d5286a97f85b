"""What an alert rule is: PromQL, how long it has to hold, and what a person is told."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

JOB, INSTANCE, SERVER, SEVERITY = "job", "instance", "server", "severity"

TARGET_IS_SERVER: Final = "{{ $labels.target }}"
BEHIND_PGBOUNCER: Final = (
    "{{ if $labels.server }}{{ $labels.server }}{{ else }}{{ $labels.target }}{{ end }}"
)
NO_SERVER: Final = ""

# The scrape configurations that /sd serves have an instance for each target, host:port/target:
# what silences an exporter's alerts has to find the exporter in them.
EXPORTER: Final = '{{ reReplaceAll "/.*" "" $labels.instance }}'
NO_INSTANCE: Final = ""

OWN_LABELS: Final = frozenset(
    {
        *("alertname", JOB, INSTANCE, "target", SERVER, SEVERITY, "client"),
        # What a thing is called, where an alert is about one of several.
        *("application_name", "collector", "database", "datname", "queryid", "reason", "rule"),
        *("slot_name", "user", "usename"),
    }
)
"""All labels that an alert may have: identities, never a number that changes while it fires."""


class Severity(StrEnum):
    """Whom an alert reaches."""

    CRITICAL = "critical"  # wakes a person
    WARNING = "warning"  # opens a ticket
    INFO = "info"  # is shown only


class Dashboard(StrEnum):
    """The dashboard that an alert leads to, by its uid in Grafana."""

    INCIDENT = "pgconn-incident"
    CONNECTIONS = "pgconn-connections"
    BLOCKING = "pgconn-blocking"
    LOAD = "pgconn-load"
    PGBOUNCER = "pgconn-pgbouncer"
    EXPORTER = "pgconn-exporter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alert rule of Prometheus.

    In `expr` and the texts, `@{NAME}` is a threshold as a number and `@{NAME.words}` as a person
    writes it; `@{job}` is the scrape job. Selectors of our metrics get their job when they are
    rendered. `hold` and `keep` are Prometheus's `for` and `keep_firing_for`. The texts are
    templates of Prometheus: `{{ $labels.client }}`, `{{ $value | humanize }}`.
    """

    alert: str
    severity: Severity
    expr: str
    hold: str = ""
    keep: str = ""
    summary: str
    """Who, what, how much."""
    description: str
    """What it means, and what is the matter with it."""
    first_action: str
    """The first command or click."""
    dashboard: Dashboard
    server: str = TARGET_IS_SERVER
    """Template of the label by which alerts of one incident are grouped."""
    instance: str = EXPORTER
    """Template of the label that tells the exporter."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that answer the same question, evaluated together."""

    name: str
    rules: tuple[Rule, ...]
