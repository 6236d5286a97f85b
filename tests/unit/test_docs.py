"""What README and docs/ name exists: metrics, labels, flags, files, make targets, paths."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from exporter import reference
from exporter.cli import app
from exporter.collectors import METRICS
from exporter.config import parse_config
from exporter.config import reference as configuration
from exporter.config.schema import render_schema
from exporter.exposition import Exposition
from exporter.server.errors import REASONS
from exporter.web.application import make_application

ROOT = Path(__file__).parents[2]
TEXTS = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
README = TEXTS["README.md"]

# In the words of the documents, but not names of ours: the user's own roles and files.
ROLES = {"pgconn_exporter", "pgconn_probe"}
USERS_FILES = {"config.yaml"}

SUFFIXES = ("", "_bucket", "_sum", "_count", "_gsum", "_gcount")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def words(text: str, pattern: str) -> set[str]:
    """Return what is set in backticks and matches a pattern as a whole."""
    return {word for word in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(pattern, word)}


def missing(named: Iterable[str], known: Iterable[str]) -> set[str]:
    """Return the names that there are not, and make sure that some were looked at."""
    found = set(named)
    assert found
    return found - set(known)


def everywhere(pattern: str) -> Iterator[str]:
    """Yield what matches in any document."""
    for text in TEXTS.values():
        yield from re.findall(pattern, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docs/metrics.md", reference.render_reference()),
        ("docs/configuration.md", configuration.render_reference()),
        ("config.schema.json", render_schema()),
    ],
)
def test_generated_documents_are_fresh(name: str, text: str) -> None:
    """What the code says now is what stands in the document: else `make generate`."""
    assert (ROOT / name).read_text(encoding="utf-8") == text


def test_the_reference_has_every_metric() -> None:
    """No declaration is left out, and none stands twice."""
    named = re.findall(r"^\| `(\w+)` \|", TEXTS["docs/metrics.md"], re.MULTILINE)
    assert len(named) == len(set(named))
    assert missing((metric.name for metric in METRICS), named) == set()


def test_a_module_without_its_question_is_told() -> None:
    """A new collector cannot be left out of the reference by its docstring."""
    with pytest.raises(ValueError, match="does not begin with 'A question: '"):
        reference.question("exporter.collectors.base")


def test_metrics_exist() -> None:
    """Every metric that a document names is declared."""
    declared = {entry.metric.name + suffix for entry in reference.entries() for suffix in SUFFIXES}
    assert missing(everywhere(r"\bpgconn_[a-z_]+\b"), declared | ROLES) == set()


def test_labels_in_queries_exist() -> None:
    """Every label in a PromQL query is one of a metric, or Prometheus' own."""
    declared = {label for entry in reference.entries() for label in entry.labels}
    queries = "\n".join(block for text in TEXTS.values() for block in blocks(text, "promql"))
    lists = re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", queries)
    named = {label.strip() for labels in lists for label in labels.split(",")}
    named |= set(re.findall(r'(\w+)(?:!=|=~|=)"', queries))
    assert missing(named, declared | {"job", "instance"}) == set()


def test_make_targets_exist() -> None:
    """Every `make TARGET` is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    assert missing(everywhere(r"(?:`|\$ )make ([a-z-]+)"), targets) == set()


def flags(command: str) -> set[str]:
    """Return the flags of a command."""
    group: Any = typer.main.get_command(app)
    return {flag for parameter in group.commands[command].params for flag in parameter.opts}


def test_flags_exist() -> None:
    """Every flag with a dot in its name is one of `run`, and the README has all of those."""
    own = {flag for flag in flags("run") if "." in flag}
    assert missing(everywhere(r"(?<![\w-])--[a-z]+\.[a-z-]+"), own) == set()
    assert own - words(README, r"--.*") == set()


def test_files_exist() -> None:
    """Every file that is named in backticks, and every link's target, is there."""
    pattern = r"[\w./-]+\.(?:md|py|yaml|json|toml)"
    named = {word for text in TEXTS.values() for word in words(text, pattern)} - USERS_FILES
    places = [ROOT, ROOT / "exporter", ROOT / "exporter" / "collectors"]
    assert missing(named, (word for word in named if any((p / word).exists() for p in places))) == (
        set()
    )
    for name, text in TEXTS.items():
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / name).parent.joinpath(link).exists(), f"{name} links to {link}"


def test_the_tree_is_the_tree() -> None:
    """The architecture shows each part of the exporter, and none that there is not."""
    (tree,) = blocks(TEXTS["docs/architecture.md"], "text")
    shown = set(re.findall(r"^  (\S+)  ", tree, re.MULTILINE))
    parts = {
        path.name + "/" * path.is_dir()
        for path in (ROOT / "exporter").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert shown == parts


def test_every_reason_has_its_cure() -> None:
    """The troubleshooting has a heading for each reason why a poll fails, and for no other."""
    heads = re.findall(r"^### `(\w+)`$", TEXTS["docs/troubleshooting.md"], re.MULTILINE)
    assert sorted(heads) == sorted(REASONS)


def test_paths_are_served() -> None:
    """Every path of the README's table is a route, and every route is in it."""
    served = {
        route.resource.canonical
        for route in make_application(Exposition(()), lambda: True, "/metrics").router.routes()
        if route.resource is not None
    }
    rows = re.findall(r"^\| `(/[^`?]*)[^`]*` \|", README, re.MULTILINE)
    assert set(rows) == served


def test_promises_are_tested() -> None:
    """Every promise of docs/reliability.md names its tests, and there are such."""
    text = TEXTS["docs/reliability.md"]
    tables = re.findall(r"^\|.*\| test \|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    promises = [row for rows in tables for row in rows.splitlines()]
    assert promises
    assert [row for row in promises if not re.search(r"`test_\w+`", row)] == []
    sources = [file.read_text(encoding="utf-8") for file in ROOT.glob("tests/**/*.py")]
    tests = set(re.findall(r"^(?:async )?def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    assert missing(re.findall(r"`(test_\w+)`", text), tests) == set()


@pytest.mark.parametrize("name", ["README.md", "docs/configuration.md"])
def test_configurations_are_good(name: str) -> None:
    """Every configuration file that a document shows is accepted."""
    files = [text for text in blocks(TEXTS[name], "yaml") if "targets:\n  - name" in text]
    assert files
    for text in files:
        assert parse_config(text, "config.yaml", {"PROBE_PASSWORD": "x"}).targets
