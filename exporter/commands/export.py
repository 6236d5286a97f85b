"""The bundled alert rules and Alertmanager's fragment, with a user's own values filled in."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from exporter.alerts import GROUPS
from exporter.alerts.alertmanager import commented_fragment
from exporter.alerts.errors import AlertError
from exporter.alerts.model import OWN_LABELS
from exporter.alerts.rendering import Options, prometheus_rule, rule_file, to_yaml

NAME: Final = "pgconn-exporter"

_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_HOST: Final = r"[a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]"
_URL: Final = re.compile(rf"https?://(?:{_HOST})(?::[0-9]+)?(?:/[\w.~:/!$&()*+,;=%-]*)?", re.ASCII)
_UNQUOTED: Final = set("\"'\\{}")  # a job's name stands between quotes, and beside templates

# Kubernetes' own words for its labels: an optional prefix, which is a domain, and a name.
_PART: Final = r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?"
_WORD: Final = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_DOMAIN: Final = rf"(?=[^/]{{1,253}}/){_WORD}(?:\.{_WORD})*"
_METADATA_LABEL: Final = re.compile(rf"(?:{_DOMAIN}/)?{_PART}")
_METADATA_VALUE: Final = re.compile(rf"(?:{_PART})?")

_RULES_HEAD: Final = """\
# Alert rules of pgconn-exporter, as `pgconn-exporter export alerts` renders them: with your job,
# thresholds, labels and URLs. Each alert has a page in docs/runbooks; docs/alerts.md lists them.
"""
_ALERTMANAGER_HEAD: Final = """\
# What Alertmanager needs for the alerts of pgconn-exporter: take over the route below `routes`,
# before your own, and the inhibition rules, and give the receivers your ways to reach people. Where
# Prometheus servers of several clusters send their alerts here, add the label that tells the
# clusters apart to group_by and to every equal.
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
    return _ALERTMANAGER_HEAD + commented_fragment(options)


def alert_labels(settings: Iterable[str]) -> dict[str, str]:
    """Read labels for all alerts such as `team=payments`; AlertError where one cannot be.

    >>> alert_labels(["team=payments"])
    {'team': 'payments'}
    """
    found = _pairs(settings, "team=payments")
    for name, value in found.items():
        if not _LABEL.fullmatch(name):
            raise AlertError(f"{name!r} is no label of Prometheus, such as team")
        if name in OWN_LABELS:
            raise AlertError(f"the alerts have {name} already, and it tells them apart")
        if not value or not value.isprintable() or "{{" in value:
            raise AlertError(f"{name} needs a value in one line, which is no template")
    return found


def metadata_labels(settings: Iterable[str]) -> dict[str, str]:
    """Read labels of Kubernetes; AlertError where one cannot be.

    >>> metadata_labels(["app.kubernetes.io/part-of=monitoring"])
    {'app.kubernetes.io/part-of': 'monitoring'}
    """
    found = _pairs(settings, "release=prometheus")
    for name, value in found.items():
        if not _METADATA_LABEL.fullmatch(name):
            raise AlertError(f"{name!r} is no label of Kubernetes, such as release")
        if not _METADATA_VALUE.fullmatch(value):
            raise AlertError(f"{value!r} is no value that Kubernetes takes for a label")
    return found


def _pairs(settings: Iterable[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise AlertError(f"{setting!r} is not NAME=VALUE, such as {example}")
        if name in found:
            raise AlertError(f"{name} is given twice")
        found[name] = value
    return found


def url(text: str) -> str:
    """Take an address below which pages are; AlertError where it is none.

    >>> url("https://grafana.example.com/ops")
    'https://grafana.example.com/ops'
    """
    if "@" in text:
        raise AlertError("a URL that everybody sees who gets an alert has no user and no password")
    if not _URL.fullmatch(text) or not _has_good_port(text):
        raise AlertError(f"{text!r} is no URL to put a path behind, as https://grafana.example.com")
    return text


def _has_good_port(address: str) -> bool:
    try:
        return urlsplit(address).port != 0
    except ValueError:
        return False


def job_name(text: str) -> str:
    """Take the name of a scrape job; AlertError where it would need quotes.

    >>> job_name("pgconn")
    'pgconn'
    """
    if not text.strip() or not text.isprintable() or set(text) & _UNQUOTED:
        raise AlertError(f"{text!r} is no name of a scrape job that needs no quoting")
    return text
