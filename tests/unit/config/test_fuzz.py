"""Whatever stands in a file: a configuration or a complaint, never a crash, never a secret."""

import re
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import Config, ConfigError, parse_config
from exporter.config.model import ClientGroup, File, Intervals, Match, Orphans, Statements, Target
from tests.unit.config.helpers import ENVIRON, EXAMPLE

SECRET = "Hunter2"
DSN = f"postgresql://user:p%40ss-{SECRET}!@db.internal:5432/postgres"
ENVIRONMENT = {**ENVIRON, "PASSWORD": SECRET, "DSN": DSN, "N": "20", "EMPTY": "", "BAD": "\udcff"}
LINES = EXAMPLE.read_text(encoding="utf-8").replace("${ORDERS_DSN}", DSN).splitlines(keepends=True)

KEYS = sorted(
    {
        key
        for model in (File, Target, ClientGroup, Match, Intervals, Orphans, Statements)
        for key in model.model_fields
    }
)
# Good values, values that are good elsewhere, and values that are good nowhere.
VALUES = [
    *("1s", "5m", "0s", "100ms", "1.5h", "5", "0", "-1", "1%", "0.01", "101%", "9" * 5000),
    *("orders", "pgbouncer", "postgresql", "other", "usename", "local", "10.0.0.1/8", "::1"),
    *(":10432", "service=orders", "a.txt", "", " ", "\0", "é", "*", "x" * 100, "~", "<<"),
    *("${N}", "${DSN}", "${NO}", "${EMPTY}", "${BAD}", "$${N}", "${", DSN, None, True, 5, 0.5),
]
# What means something to YAML, and mistakes that people make.
SNIPPETS = [
    *("\t", " ", "  ", "-", "- ", ":", ": ", "?", "? ", "[", "]", "{", "}", "'", '"', "#", "\n"),
    *("&a ", "*a", "<<: *a", "!x ", "!!int ", "|", ">-", "---", "...", "%YAML 9.9", "%TAG ! x\n"),
    *("\0", "\r", "\u2028", "\ud800", "\ufeff", '"\\ud800"', '"\\UFFFFFFFF"', "${X", "${N}", "~"),
]

keys = st.sampled_from(KEYS) | st.sampled_from([DSN, "", "inteval", "password", "<<", "a b"])
leaves = st.sampled_from(VALUES) | st.sampled_from(KEYS) | st.text(max_size=8)


def several(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make lists and groups of keys."""
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5)


trees = st.recursive(leaves, several, max_leaves=20)
targets = st.fixed_dictionaries(
    {"name": leaves, "dsn": st.just("service=orders") | leaves},
    optional={key: trees for key in Target.model_fields if key not in {"name", "dsn"}},
)
clients = st.fixed_dictionaries(
    {"name": leaves, "match": st.dictionaries(st.sampled_from(["usename", "x"]), trees)},
    optional={"idle_timeout": leaves, "pool_size": leaves},
)
files = st.fixed_dictionaries(
    {"targets": st.lists(targets, max_size=3)},
    optional={"defaults": trees, "web": trees, "clients": st.lists(clients, max_size=3)},
)


@st.composite
def edited_examples(draw: st.DrawFn) -> str:
    """Make the example with lines lost, doubled, moved and indented, and snippets in places."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line, words = lines.pop(at), draw(st.sampled_from(SNIPPETS))
        # No edit inside the DSN: half a password in a wrong place cannot be told for one.
        column = draw(st.integers(0, line.find(DSN) if DSN in line else len(line)))
        edited = [[], [line, line], [f"  {line}"], [line[:column] + words + line[column:]]]
        to = draw(st.just(at) | st.integers(0, len(lines)))
        lines[to:to] = draw(st.sampled_from(edited))
    return "".join(lines)


def parse(text: str) -> Config | None:
    """Parse a text; check what is told, if it is bad."""
    try:
        return parse_config(text, "config.yaml", ENVIRONMENT)
    except ConfigError as error:
        check(error, lines=len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text)))
        return None


def check(error: ConfigError, lines: int) -> None:
    """Check that an error helps, and tells no secret."""
    assert error.problems
    for problem in error.problems:
        assert problem.line is None or 1 <= problem.line <= lines
        assert problem.message.strip()
        assert "\n" not in str(problem)
        assert len(str(problem)) < 400
    told = f"{error}{error!r}"
    assert SECRET not in told
    assert not re.search("pydantic|[Ii]nput should|Traceback|object at 0x", told)
    told.encode()


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=20) | st.text(alphabet="a:-[]{}&*!|>'\"#%@`,? \t\n\\<$~", max_size=30))
def test_any_text(text: str) -> None:
    """Any text at all is told what is wrong with it."""
    assert parse(text) is None


@settings(deadline=None, max_examples=35)
@given(files | trees, st.booleans())
def test_any_values(data: object, flow: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Our keys with any values are a configuration or a complaint."""
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    assert parse(text) is None or isinstance(data, dict)


@settings(deadline=None, max_examples=35)
@given(edited_examples())
def test_any_edit(text: str) -> None:
    """A slip in the editor is told; and where the file is still good, its secret is kept."""
    config = parse(text)
    assert SECRET not in repr(config)


def test_the_fuzzers_reach_the_good() -> None:
    """The example that is edited is good to begin with, secret and all."""
    config = parse("".join(LINES))
    assert config is not None
    assert config.targets[0].dsn.get_secret_value() == DSN
