"""The shipped example and the JSON schema say what the model says."""

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from exporter.config import ClientGroup, Config, Target, load_config
from exporter.config.model import File, Settings
from exporter.config.schema import file_schema, render_schema
from tests.unit.config.helpers import ENVIRON, EXAMPLE, ROOT, parse

MATCHING = {
    "match": {"client_addr": ["10.0.1.0/24", "local"], "usename": "app_*"},
    "name": "api",
}


@pytest.fixture(scope="module")
def example() -> Config:
    """Return the example as it is loaded."""
    return load_config(EXAMPLE, ENVIRON)


def valid(data: object) -> bool:
    """Say whether the schema takes some data."""
    return bool(Draft202012Validator(file_schema()).is_valid(data))


def with_target(**keys: object) -> dict[str, Any]:
    """Return a file's data with one target."""
    return {"targets": [{"name": "a", "dsn": "service=a", **keys}]}


def test_example_shows_the_defaults(example: Config) -> None:
    """Whoever starts from the example changes nothing before they change something."""
    (target,) = example.targets
    smallest = parse("targets: [{name: orders, dsn: 'service=orders'}]").targets[0]
    for key in Settings.model_fields:
        assert getattr(target, key) == getattr(smallest, key), key
    assert example.web == parse("targets: [{name: orders, dsn: 'service=orders'}]").web


def test_example_writes_the_defaults_as_the_design_does() -> None:
    """Every key with a default is written out, not only left to it."""
    defaults = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["defaults"]
    assert defaults.keys() == Settings.model_fields.keys()
    for key in ("intervals", "orphans", "statements"):
        assert defaults[key].keys() == type(getattr(Settings(), key)).model_fields.keys()


def test_example_names_every_key() -> None:
    """There is no key that the example does not show, if only as a comment."""
    text = EXAMPLE.read_text(encoding="utf-8")
    keys = {*File.model_fields, *Target.model_fields, *ClientGroup.model_fields}
    assert {key for key in keys if not re.search(rf"\b{key}:", text)} == set()


def test_example_needs_its_variables_only(example: Config) -> None:
    """The environment variables that the example names are those that its tests set."""
    data = [line.partition("#")[0] for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    assert set(re.findall(r"\$\{(\w+)\}", "\n".join(data))) == ENVIRON.keys()
    assert example.targets[0].dsn.get_secret_value() == ENVIRON["ORDERS_DSN"]


def test_commented_lines_of_the_example_are_good() -> None:
    """What the example shows as comments would load."""
    text = EXAMPLE.read_text(encoding="utf-8")
    keys = r"password_file|probe|name|kind|dsn|server|intervals|slow_query_after"
    text = re.sub(rf"(?m)^( +)# ((?:- | *)(?:{keys}):.*)$", r"\1\2", text)
    config = parse(text, **ENVIRON)
    assert [target.name for target in config.targets] == ["orders", "reports", "orders-pool"]
    assert (config.targets[2].kind, config.targets[2].server) == ("pgbouncer", "orders")
    assert config.targets[0].probe is not None


def test_schema_is_fresh() -> None:
    """The committed schema is the one that the model makes: `make generate` writes it."""
    assert (ROOT / "config.schema.json").read_text(encoding="utf-8") == render_schema()


def test_schema_is_a_schema() -> None:
    """The schema is one of the dialect that it names."""
    schema = json.loads(render_schema())
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["title"] == "pgconn-exporter configuration"


def test_every_key_is_described() -> None:
    """Editors can tell of every key what it is for, and complain of every other."""
    schema = file_schema()
    for part in (schema, *schema["$defs"].values()):
        assert part["additionalProperties"] is False
        assert [
            key for key, words in part["properties"].items() if "description" not in words
        ] == []


def test_example_is_valid() -> None:
    """The example pleases the schema, as YAML tools read it."""
    Draft202012Validator(file_schema()).validate(yaml.safe_load(EXAMPLE.read_text("utf-8")))


@pytest.mark.parametrize(
    "keys",
    [
        {"query_timeout": "1h30m", "max_overhead": 0.05, "max_series": 20},
        {"query_timeout": "${T}", "max_overhead": "${O}", "max_series": "${N}"},
        {"intervals": {"activity": "100ms"}, "statements": {"top": 1}},
        {"kind": "pgbouncer", "server": "b", "probe": {"dsn": "service=b"}},
        {"connection_labels": [], "clients": [MATCHING]},
    ],
)
def test_schema_takes(keys: dict[str, object]) -> None:
    """What the model takes, the schema takes."""
    assert valid(with_target(**keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"query_timeout": 5},
        {"query_timeout": "5"},
        {"query_timeout": "0.5s"},
        {"query_timeout": ""},
        {"max_overhead": 5},
        {"max_series": 9},
        {"max_series": "20"},
        {"intervals": {"activty": "1s"}},
        {"kind": "mysql"},
        {"name": ""},
        {"dsn": ""},
        {"connection_labels": ["datname", "datname"]},
        {"connection_labels": ["pid"]},
        {"clients": [{**MATCHING, "name": "other"}]},
        {"clients": [{**MATCHING, "match": {"usename": []}}]},
        {"clients": [{**MATCHING, "match": {}}]},
        {"clients": [{"name": "api"}]},
    ],
)
def test_schema_refuses(keys: dict[str, object]) -> None:
    """What the model refuses and a schema can say, the schema refuses."""
    assert not valid(with_target(**keys))


@pytest.mark.parametrize("data", [{}, {"targets": []}, [], None, {**with_target(), "target": []}])
def test_schema_refuses_at_the_top(data: object) -> None:
    """A file without targets is none."""
    assert not valid(data)
