"""What the documents show of Prometheus is what Prometheus takes."""

from pathlib import Path

import pytest

from tests.integration.processes import promtool
from tests.unit.test_docs import README, TEXTS, blocks

# No version of the server has a say in it.
pytestmark = pytest.mark.slow


async def test_queries(tmp_path: Path) -> None:
    """Every query of the documents is PromQL."""
    queries = [query for text in TEXTS.values() for query in blocks(text, "promql")]
    assert queries
    rules = ["groups:\n- name: documents\n  rules:\n"]
    for number, query in enumerate(queries):
        lines = query.replace("\n", "\n      ")
        rules.append(f"  - record: query:{number}\n    expr: |\n      {lines}\n")
    file = tmp_path / "rules.yml"
    file.write_text("".join(rules), encoding="utf-8")
    status, said = await promtool("check", "rules", str(file))
    assert status == 0, said


async def test_scrape_configurations(tmp_path: Path) -> None:
    """Every scrape configuration of the README is one."""
    shown = [text for text in blocks(README, "yaml") if text.startswith("scrape_configs:")]
    assert shown
    for number, text in enumerate(shown):
        file = tmp_path / f"{number}.yml"
        file.write_text(text, encoding="utf-8")
        status, said = await promtool("check", "config", str(file))
        assert status == 0, said
