"""What the files in tests/alerts prove: promtool runs them, and here is seen what they hold."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from promql_parser import VectorSelector

from exporter.alerts.units import Unit, parse_number
from tests.unit.alerts.promql import selects

ROOT: Final = Path(__file__).parents[3]
FILES: Final = ROOT / "tests" / "alerts"
FIRES, BELOW, MISSING, ANOTHER = KINDS = ("fires", "just below", "metric missing", "another target")

_SERIES: Final = re.compile(r"(\w+)(?:\{(.*)\})?")
_LABEL: Final = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"')
_SEVERITY: Final = re.compile(r": (critical|warning|info)\b")


@dataclass(frozen=True, slots=True)
class Series:
    """A series that is given, with its values as promtool writes them."""

    metric: str
    labels: Mapping[str, str]
    values: str


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert that has to fire."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def texts(self) -> Iterator[str]:
        """Yield all that Prometheus has to fill in."""
        yield from (*self.labels.values(), *self.annotations.values())


@dataclass(frozen=True, slots=True)
class Look:
    """What fires of an alert at a time, in seconds."""

    at: float
    alert: str
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """One test of promtool."""

    name: str
    series: tuple[Series, ...]
    looks: tuple[Look, ...]

    @property
    def severity(self) -> str:
        """Give the severity that the name tells, of an alert with two."""
        found = _SEVERITY.search(self.name)
        return found[1] if found else ""

    @property
    def metrics(self) -> set[str]:
        """Give the metrics that there are."""
        return {each.metric for each in self.series}

    def lacks(self, selectors: Iterable[VectorSelector]) -> bool:
        """Tell whether every target is without something that is read of it."""
        targets: dict[str, list[Series]] = {}
        for each in self.series:
            targets.setdefault(each.labels.get("target", ""), []).append(each)
        return not any(
            all(any(selects(one, s.metric, s.labels) for s in own) for one in selectors)
            for own in targets.values()
        )

    def expected(self, alert: str) -> list[Expected]:
        """Give what has to fire of an alert, at whatever time, in the severity of the name."""
        found = (each for look in self.looks if look.alert == alert for each in look.expected)
        return [each for each in found if self.severity in {"", each.labels.get("severity")}]

    def shown(self, alert: str) -> tuple[object, ...]:
        """Give what an alert is made of: the series, and how long one looks at them."""
        return self.series, self.last_look(alert)

    def last_look(self, alert: str) -> float:
        """Give the time until which an alert is watched, -1 where it is not."""
        return max((look.at for look in self.looks if look.alert == alert), default=-1)


def proofs_of(alert: str) -> list[Proof]:
    """Read the tests of an alert."""
    document = yaml.safe_load((FILES / f"{alert}.yaml").read_text(encoding="utf-8"))
    assert document["rule_files"] == ["../../grafana/alerts/pgconn.rules.yaml"]
    return [_proof(test) for test in document["tests"]]


def _proof(test: Mapping[str, Any]) -> Proof:
    return Proof(
        name=test["name"],
        series=tuple(_series(each) for each in test.get("input_series") or ()),
        looks=tuple(_look(each) for each in test.get("alert_rule_test") or ()),
    )


def _series(given: Mapping[str, Any]) -> Series:
    found = _SERIES.fullmatch(given["series"].strip())
    assert found, given["series"]
    return Series(found[1], dict(_LABEL.findall(found[2] or "")), str(given["values"]))


def _look(given: Mapping[str, Any]) -> Look:
    return Look(
        at=parse_number(str(given["eval_time"]), Unit.SECONDS),
        alert=given["alertname"],
        expected=tuple(
            Expected(each.get("exp_labels") or {}, each.get("exp_annotations") or {})
            for each in given.get("exp_alerts") or ()
        ),
    )
