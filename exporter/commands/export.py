"""The bundled alert rules and Alertmanager's fragment, with a user's own values filled in."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from exporter.alerts import GROUPS
from exporter.alerts.alertmanager import fragment
from exporter.alerts.errors import AlertError
from exporter.alerts.model import INSTANCE, JOB, SERVER, SEVERITY
from exporter.alerts.rendering import Options, prometheus_rule, rule_file, to_yaml

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OURS: Final = ("alertname", JOB, INSTANCE, SERVER, SEVERITY, "target", "client")
NAME: Final = "pgconn-exporter"

_RULES_HEAD: Final = """\
# Alert rules of pgconn-exporter, as `pgconn-exporter export alerts` renders them: with your job,
# thresholds, labels and URLs. Each alert has a page in docs/runbooks; docs/alerts.md lists them.
"""
_ALERTMANAGER_HEAD: Final = """\
# What Alertmanager needs for the alerts of pgconn-exporter: take over the route below `routes`, the
# inhibition rules, and give the receivers your ways to reach people.
"""


class Form(StrEnum):
    """How the rules are written down."""

    RULES = "rules"
    PROMETHEUS_RULE = "prometheus-rule"


def render_rules(options: Options, form: Form, selected_by: Mapping[str, str]) -> str:
    """Give the rules as YAML; `selected_by` are the labels of a PrometheusRule itself."""
    if form is Form.PROMETHEUS_RULE:
        document = prometheus_rule(GROUPS, options, NAME, selected_by)
    else:
        document = rule_file(GROUPS, options)
    return _RULES_HEAD + to_yaml(document)


def render_alertmanager(options: Options) -> str:
    """Give the fragment of Alertmanager's configuration as YAML."""
    return _ALERTMANAGER_HEAD + to_yaml(fragment(options))


def labels(settings: Iterable[str]) -> dict[str, str]:
    """Read labels such as `team=payments`; AlertError where one cannot be.

    >>> labels(["team=payments"])
    {'team': 'payments'}
    """
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not value or not _LABEL.fullmatch(name):
            raise AlertError(f"{setting!r} is not NAME=VALUE, such as team=payments")
        if name in _OURS:
            raise AlertError(f"{name} is a label that the alerts have already")
        found[name] = value
    return found


def url(text: str) -> str:
    """Take an address of http or https; AlertError where it is none."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or set(text) & set(" {}\"'\n"):
        raise AlertError(f"{text!r} is no URL such as https://grafana.example.com")
    return text


def job_name(text: str) -> str:
    """Take the name of a scrape job; AlertError where it would need quotes.

    >>> job_name("pgconn")
    'pgconn'
    """
    if not text or not text.isprintable() or set(text) & set("\"'\\{}"):
        raise AlertError(f"--job: {text!r} is no name of a scrape job that needs no quoting")
    return text
