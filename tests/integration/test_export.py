"""`export`, run as a user does: Prometheus takes what it prints, and so does its operator."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter.alerts import GROUPS
from tests.integration.processes import promtool, run

# No version of the server has a say in it.
pytestmark = pytest.mark.slow

SHIPPED: Final = Path(__file__).parents[2] / "grafana" / "alerts"
OWN: Final = (
    *("--job", "pgconn_orders (EU)"),
    *("--threshold", "slots_critical=97.5%", "--threshold", "idle_in_transaction=1m30s"),
    *("--runbook-url", "https://wiki.example.com/runbooks/"),
    *("--dashboard-url", "http://grafana:3000/ops"),
    *("--label", "team=payments", "--label", 'page=the one who asked: "why?"'),
)
SELECTED: Final = ("--metadata-label", "app.kubernetes.io/part-of=monitoring")

TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Final = {
    "type": "string",
    "minLength": 1,
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?"
    r"(([0-9]+)ms)?)$",
}
RULE: Final = {
    "type": "object",
    "required": ["alert", "expr"],
    "additionalProperties": False,
    "properties": {
        "alert": {"type": "string"},
        "expr": {"type": "string"},
        "for": DURATION,
        "keep_firing_for": DURATION,
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}
GROUP: Final = {
    "type": "object",
    "required": ["name", "rules"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "rules": {"type": "array", "items": RULE},
    },
}
# What the operator's CustomResourceDefinition says of what we use of it, and Kubernetes of names.
PROMETHEUS_RULE: Final = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "PrometheusRule"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"pattern": r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"},
                "labels": TEXTS,
            },
        },
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"groups": {"type": "array", "items": GROUP}},
        },
    },
}


async def exported(*arguments: str) -> str:
    """Give what the command prints."""
    ended = await run("export", *arguments)
    assert (ended.status, ended.err) == (0, "")
    return ended.out


async def checked(document: dict[str, Any], folder: Path) -> None:
    """Have Prometheus' own tool look at a rule file."""
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    status, said = await promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))
    assert status == 0, said
    assert f"{sum(len(group.rules) for group in GROUPS)} rules found" in said


async def test_both_forms(tmp_path: Path) -> None:
    """Prometheus takes the rules, and its operator the same ones, with a user's own values."""
    rules = yaml.safe_load(await exported("alerts", *OWN))
    await checked(rules, tmp_path)
    document = yaml.safe_load(await exported("alerts", *OWN, "--as", "prometheus-rule", *SELECTED))
    assert document["spec"] == rules
    assert document["metadata"]["labels"] == {"app.kubernetes.io/part-of": "monitoring"}
    assert list(Draft202012Validator(PROMETHEUS_RULE).iter_errors(document)) == []
    names = [group["name"] for group in document["spec"]["groups"]]
    assert len(set(names)) == len(names)


async def test_what_is_shipped() -> None:
    """The files in the repository are what the command prints without flags."""
    for name, arguments in (("pgconn.rules", "alerts"), ("alertmanager", "alertmanager")):
        shipped = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
        assert await exported(arguments) == shipped


async def test_a_bad_call() -> None:
    """What cannot be is one line on standard error, with status 2 and no traceback."""
    ended = await run("export", "alerts", "--threshold", "slots_hihg=75%")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "--threshold: there is no 'slots_hihg'; did you mean slots_high?\n"
