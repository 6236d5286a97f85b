"""Every runbook has the same form, and what it names and links to exists."""

import re
from pathlib import Path

import pytest

from exporter import reference
from exporter.alerts import GROUPS
from exporter.alerts.thresholds import tuned
from tests.unit.runbooks import FOLDER, KILL, LOOK, SECTIONS, TUNE, Page, index, pages
from tests.unit.test_docs import ROLES, SUFFIXES, missing

PAGES = pages()
ALL = (*PAGES, index())
OUTSIDE = {"job", "instance", "alertname", "alertstate", "server", "severity"}  # not a metric's own
LANGUAGES = {"sql", "promql", "sh", "python", "ini", "yaml", "console", "text"}
LONGEST = 100  # lines

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(path: Path) -> set[str]:
    """Give the anchors of a document's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@each_page
def test_form(page: Page) -> None:
    """Title, one sentence, and the same sections in the same order, short enough for the night."""
    title, sentence, *_ = page.text.split("\n\n")
    assert title == f"# {page.name}"
    assert re.fullmatch(r"[^#`-][^#]*[.]", sentence.strip())
    assert page.headings == SECTIONS
    assert len(page.text.splitlines()) <= LONGEST
    assert {block.language for block in page.blocks} <= LANGUAGES


@each_page
def test_first_look(page: Page) -> None:
    """There is one thing to run, and one dashboard by its uid: where the alert leads, too."""
    blocks = [block for block in page.blocks if block.section == LOOK]
    assert [block.language for block in blocks].count("sql") == 1
    look = page.text.split(f"## {LOOK}\n")[1].split("\n## ")[0]
    named = re.findall(r"`(pgconn-[a-z]+)`", look)
    rules = [rule for group in GROUPS for rule in group.rules if rule.alert == page.name]
    assert len(set(named)) == 1
    assert set(named) <= {rule.dashboard for rule in rules}


@each_page
def test_nobody_is_ended_unseen(page: Page) -> None:
    """Whom a statement ends is shown by the one before it, and chosen by more than a pid."""
    for showing, ending in page.endings:
        assert not showing.ends
        assert ending.chosen == showing.chosen
        assert "usename" in ending.chosen
        assert not re.search(r"\bpid\s*=\s*\d", ending.text)
    ending_blocks = [block for block in page.sql() if any(s.ends for s in block.statements)]
    assert {block.section for block in ending_blocks} <= {KILL}


@each_page
def test_tuning(page: Page) -> None:
    """Thresholds have such names and values, and the silence is for this alert."""
    tune = page.text.split(f"## {TUNE}\n")[1]
    tuned(re.findall(r"--threshold (\S+=\S+)", page.text))
    named = set(re.findall(r"--threshold (\w+)=", page.text))
    assert set(re.findall(r"--threshold (\w+)=", tune)) == named
    [silence] = page.lines("amtool")
    assert silence.startswith("amtool silence add ")
    assert f"alertname={page.name} " in silence
    assert "job=pgconn " in silence


def test_names_exist() -> None:
    """Every metric, label and alert that a page names is there."""
    entries = list(reference.entries())
    declared = {entry.metric.name + suffix for entry in entries for suffix in SUFFIXES}
    texts = "\n".join(page.text for page in ALL)
    assert missing(re.findall(r"\bpgconn_[a-z_]+\b", texts), declared | ROLES) == set()
    alerts = re.findall(r"\b(?:Pgconn|Postgres|PgBouncer)[A-Z][a-zA-Z]+\b", texts)
    assert missing(alerts, {page.name for page in PAGES}) == set()
    queries = "\n".join(b.text for page in ALL for b in page.blocks if b.language == "promql")
    lists = re.findall(r"\b(?:by|on|ignoring|group_left|group_right) ?\(([^)]*)\)", queries)
    named = {label.strip() for labels in lists for label in labels.split(",")}
    named |= set(re.findall(r'(\w+)(?:!=|=~|!~|=)"', queries))
    labels = {label for entry in entries for label in entry.labels}
    assert missing(named - {""}, labels | OUTSIDE) == set()


def test_links_lead_somewhere() -> None:
    """Every link between pages, and from them into the documents, has its target."""
    found = 0
    for page in ALL:
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.text):
            place, _, anchor = link.partition("#")
            target = (FOLDER / place).resolve() if place else FOLDER / f"{page.name}.md"
            assert target.exists(), f"{page.name} links to {link}"
            if anchor:
                assert anchor in anchors(target), f"{page.name} links to {link}"
            found += 1
    assert found


def test_every_page_is_in_the_index() -> None:
    """Nobody has to guess that there is a page."""
    links = set(re.findall(r"\]\((\w+)\.md[)#]", index().text))
    assert {page.name for page in PAGES} - links == set()


@each_page
def test_python(page: Page) -> None:
    """What is shown of an application's own code can be read by Python."""
    for block in page.blocks:
        if block.language == "python":
            compile(block.text, page.name, "exec")


def test_taken_apart() -> None:
    """A page is read as a person reads it."""
    text = (
        "# A\n\nSo it is.\n\n## First look\n\n```sql\n-- From PostgreSQL 14 on\n-- More.\n"
        "SELECT pid\nFROM pg_stat_activity -- all\nORDER BY pid;\nSHOW port;\n```\n\n"
        "## Is it safe to kill?\n\n```sql\nSELECT pg_terminate_backend(pid)\n"
        "FROM pg_stat_activity;\n```\n\n```sql\n-- On PgBouncer's console\nSHOW POOLS;\n```\n"
    )
    page = Page("A", text)
    assert [block.since for block in page.sql()] == [14, 0]
    assert [len(list(block.statements)) for block in page.sql()] == [2, 1]
    [console] = page.console
    assert [statement.text for statement in console.statements] == ["SHOW POOLS"]
    [(showing, ending)] = page.endings
    assert showing.text == "SHOW port"
    assert ending.chosen == "FROM pg_stat_activity"
