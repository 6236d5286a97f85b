"""Prometheus' own tool takes the alert rules and passes their tests; of other rules it does not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from exporter.alerts import GROUPS, Rule
from exporter.alerts.rendering import Options, rule_file, to_yaml
from exporter.alerts.thresholds import DEFAULTS, THRESHOLDS, Threshold, Values, tuned
from exporter.alerts.units import Unit
from tests.integration.processes import promtool
from tests.unit.alerts.proofs import FIRES, proofs_of

# No version of the server has a say in it.
pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[2]
RULES: Final = tuple(rule for group in GROUPS for rule in group.rules)
ALERTS: Final = sorted({rule.alert for rule in RULES})

OTHERWISE: Final = Options(
    job="connections of pgconn_orders (EU)",
    thresholds=tuned(["slots_critical=97.5%", "lock_wait=1m30s", "slot_retained=1.5GiB"]),
    runbooks="https://wiki.example.com/runbooks/",
    grafana="http://grafana:3000/ops/",
    labels={"team": "payments", "page": 'the one who asked: "why?"'},
)


@pytest.mark.parametrize("options", [Options(), OTHERWISE], ids=["as shipped", "otherwise"])
async def test_rules_are_rules(options: Options, tmp_path: Path) -> None:
    """Prometheus takes the rules without a warning, as shipped and with a user's own values."""
    file = tmp_path / "rules.yaml"
    file.write_text(to_yaml(rule_file(GROUPS, options)), encoding="utf-8")
    status, said = await promtool("check", "rules", "--lint=all", "--lint-fatal", str(file))
    assert status == 0, said
    assert f"{len(RULES)} rules found" in said


def rendered(alert: str, thresholds: Values = DEFAULTS) -> list[dict[str, Any]]:
    """Render an alert's rules, thresholds in the expressions only: the texts are as shipped."""
    shipped, other = (list(rules_of(alert, Options(thresholds=t))) for t in (DEFAULTS, thresholds))
    return [rule | {"expr": moved["expr"]} for rule, moved in zip(shipped, other, strict=True)]


def rules_of(alert: str, options: Options) -> Iterator[dict[str, Any]]:
    """Yield the rules of an alert, one for each of its severities."""
    for group in rule_file(GROUPS, options)["groups"]:
        yield from (rule for rule in group["rules"] if rule["alert"] == alert)


async def failed(alert: str, rules: list[dict[str, Any]], folder: Path) -> dict[str, str]:
    """Run the tests of an alert with rules, and give what promtool has to say of those that fail.

    Other alerts are left out: to evaluate them all for a week of 15 s intervals takes a minute.
    """
    file = folder / "grafana" / "alerts" / "pgconn.rules.yaml"
    file.parent.mkdir(parents=True)
    # As JSON, which is YAML, and sooner written.
    file.write_text(json.dumps({"groups": [{"name": "pgconn", "rules": rules}]}), encoding="utf-8")
    # The tests name the file of the rules by its place beside them.
    (folder / "tests").symlink_to(ROOT / "tests")
    proof = folder / "tests" / "alerts" / f"{alert}.yaml"
    status, said = await promtool("test", "rules", str(proof))
    told = dict(re.findall(r"^    name: (.*),\n((?:(?!    name: ).*\n)*)", said, re.MULTILINE))
    assert (status != 0) == bool(told), said
    return told


@pytest.mark.parametrize("alert", ALERTS)
async def test_proofs(alert: str, tmp_path: Path) -> None:
    """Each alert does what its tests say."""
    told = await failed(alert, rendered(alert), tmp_path)
    assert not told, "\n".join(f"{name}: {what}" for name, what in told.items())


def moved(threshold: Threshold) -> tuple[float, float]:
    """Give a value a little below a threshold and one a little above: by 1, or by a tenth."""
    step = 1 if threshold.unit is Unit.COUNT else threshold.default / 10
    if threshold.unit is Unit.RATIO:
        step = min(step, (1 - threshold.default) / 2)
    return threshold.default - step, threshold.default + step


@pytest.mark.parametrize(
    ("threshold", "alert"),
    [
        pytest.param(threshold, alert, id=f"{threshold.name}-{alert}")
        for threshold in THRESHOLDS
        for alert in ALERTS
        if any(f"@{{{threshold.name}}}" in rule.expr for rule in RULES if rule.alert == alert)
    ],
)
async def test_every_threshold_is_proved(threshold: Threshold, alert: str, tmp_path: Path) -> None:
    """With a threshold a little lower or higher, a test of each alert that uses it fails."""
    for value in moved(threshold):
        rules = rendered(alert, {**DEFAULTS, threshold.name: value})
        told = await failed(alert, rules, tmp_path / str(value))
        assert told, f"no test of {alert} sees that {threshold.name} is {value}"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.alert}-{rule.severity}")
async def test_every_rule_is_proved(rule: Rule, tmp_path: Path) -> None:
    """Without a rule each test fails in which it fires."""
    others = [each for each in rendered(rule.alert) if each["labels"]["severity"] != rule.severity]
    told = await failed(rule.alert, others, tmp_path)
    fires = {proof.name for proof in proofs_of(rule.alert) if proof.name.startswith(FIRES)}
    own = {name for name in fires if f": {rule.severity}" in name} or fires
    assert own - told.keys() == set()
