"""What the tests of the configuration share."""

from pathlib import Path

import pytest

from exporter.config import Config, ConfigError, Problem, Target, parse_config

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config.example.yaml"
ENVIRON = {"ORDERS_DSN": "postgresql://pgconn_exporter@db.internal/postgres"}

TARGET = "targets: [{name: orders, dsn: 'postgresql://db.internal/postgres'}]\n"


def parse(text: str, **environ: str) -> Config:
    """Parse a text as the file config.yaml."""
    return parse_config(text, "config.yaml", environ)


def problems(text: str, **environ: str) -> tuple[Problem, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(ConfigError) as raised:
        parse(text, **environ)
    return raised.value.problems


def complaints(text: str, **environ: str) -> list[str]:
    """Return what is wrong with a text, as it is printed."""
    return [str(problem) for problem in problems(text, **environ)]


def target(keys: str, rest: str = "", **environ: str) -> Target:
    """Parse a file with one target that has these keys besides name and dsn."""
    text = f"targets: [{{name: orders, dsn: 'service=orders', {keys}}}]\n{rest}"
    return parse(text, **environ).targets[0]
