"""docs/alerts.md: fresh, with every alert and every threshold, in words."""

import re
from typing import Final

import pytest

from exporter.alerts import GROUPS
from exporter.alerts.thresholds import THRESHOLDS
from tests.unit.alerts.proofs import ROOT
from tools.alert_reference import joined, render_reference

PAGE: Final = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")


def rows(text: str, columns: int) -> list[list[str]]:
    """Give the rows of all tables with so many columns, without their heads."""
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in cells if len(row) == columns and row[0] not in {"alert", "threshold"}]


def test_fresh() -> None:
    """What the rules and runbooks say now is what stands in the document: else `make generate`."""
    assert render_reference() == PAGE


def test_every_alert() -> None:
    """Each alert has one line, in the order of an incident, below a heading of its group."""
    alerts = dict.fromkeys(rule.alert for group in GROUPS for rule in group.rules)
    found = rows(PAGE, 4)
    assert [row[0] for row in found] == [f"[{name}](runbooks/{name}.md)" for name in alerts]
    assert [row[3] for row in found if not re.fullmatch(r"[A-Z].*[.]", row[3])] == []
    assert len(re.findall(r"^### ", PAGE, re.MULTILINE)) == len(GROUPS)


def test_every_threshold() -> None:
    """Each threshold has one line, and an alert that uses it."""
    found = rows(PAGE, 5)
    assert [row[0] for row in found] == [f"`{threshold.name}`" for threshold in THRESHOLDS]
    assert [row[0] for row in found if not re.match(r"Pgconn|Postgres|PgBouncer", row[4])] == []


@pytest.mark.parametrize(
    ("given", "text"),
    [(["2m", "10m"], "2m, 10m"), (["2m", "2m"], "2m"), (["at once"], "at once")],
)
def test_severities_in_one_line(given: list[str], text: str) -> None:
    """What the severities of an alert have in common is said once."""
    assert joined(given) == text
