"""The house's walls: which part of the exporter may import what, as docs/architecture.md says."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A part is a module or a package directly in exporter/. It may import itself and these.
_DECIDING = {"snapshot", "exposition", "diagnosis", "collectors"}
_READING = _DECIDING | {"server", "reads"}
_RUNNING = _READING | {
    *("config", "connector", "logs", "pace", "poller", "process", "schedule", "targets"),
}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "logs": set(),
    "pace": set(),
    "schedule": set(),
    "memory": set(),
    "snapshot": set(),
    "exposition": set(),
    "process": {"exposition"},
    "config": {"server.dsn"},  # to tell a wrong DSN by its line; no link to a server
    "diagnosis": {"snapshot"},
    "collectors": _DECIDING,
    "server": {"snapshot"},
    "reads": _READING,
    "targets": _READING | {"config"},
    "connector": {"config", "server", "targets"},
    "poller": _READING | {"config", "connector", "logs", "pace", "targets"},
    # Nothing that the daemon runs can terminate a session: only the cli reaches the commands.
    "web": _RUNNING,
    "daemon": _RUNNING | {"web"},
    "demo": _RUNNING | {"web", "daemon"},
    "alerts": set(),  # what a user's Prometheus does: the daemon knows nothing of it
    "dashboards": {"alerts"},
    "commands": _RUNNING | {"alerts", "dashboards"},
    "reference": _RUNNING | {"web", "daemon"},
    "signals": set(),
    "cli": _RUNNING | {"web", "daemon", "demo", "commands", "alerts", "memory", "signals"},
    "__main__": {"cli", "signals"},
}

# A library, and the only parts that may import it. The demo plays an application and its users.
ONLY_IN: dict[str, set[str]] = {
    "aiohttp": {"web", "demo"},
    "apscheduler": {"schedule"},
    "prometheus_client": {"process", "demo"},
    "psycopg": {"server", "demo"},
    "psycopg_binary": {"server", "demo"},
    "typer": {"cli", "commands"},
    "yaml": {"config", "alerts"},
}

# The parts that decide by the rows alone: hand-written rows test them, at any time of day.
PURE_PARTS = {"snapshot", "diagnosis", "collectors"}
IMPURE = {"asyncio", "os", "random", "socket", "subprocess", "threading", "time"}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its dotted name and its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """Return the dotted name, the package's own for an __init__ below exporter/."""
        return ".".join(Path(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def part(self) -> str:
        """Return which part of the exporter the file belongs to."""
        _, _, rest = self.name.partition(".")
        return rest.split(".")[0] or "__init__"

    @property
    def package(self) -> str:
        """Return what a relative import starts from."""
        return self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]


def violations(module: Module) -> list[str]:
    """Return what the module may not do, each with its file and line."""
    tree = ast.parse(module.text, module.path)
    found = [(line, why) for line, name in _imports(module, tree) if (why := _wrong(module, name))]
    if module.part in PURE_PARTS:
        found += _clocks(tree)
    return [f"{module.path}:{line}: {why}" for line, why in sorted(found)]


def _imports(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that a module imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            steps_up = module.package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*steps_up, *filter(None, [node.module])])
            # `from exporter import web` imports a module, `from exporter.web import X` a name:
            # both become names below the part, which is all that the rules look at.
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def _wrong(module: Module, name: str) -> str | None:
    """Return why the module may not import the name, or None where it may."""
    library, _, inside = name.partition(".")
    if library == "exporter":
        part = inside.split(".")[0]
        allowed = MAY_IMPORT.get(module.part, set()) | {module.part, "__version__", ""}
        if not any(f"{inside}.".startswith(f"{row}.") for row in allowed):
            return f"{module.part} may not import exporter.{part} (here {name})"
    elif library in ONLY_IN and module.part not in ONLY_IN[library]:
        return f"only {', '.join(sorted(ONLY_IN[library]))} may import {library}"
    elif library in IMPURE and module.part in PURE_PARTS:
        return f"{module.part} decides by its rows alone and may not import {library}"
    return None


def _clocks(tree: ast.Module) -> list[tuple[int, str]]:
    """Return where the time of day is asked for: ages come from the server's clock."""
    return [
        (node.lineno, f"asks the clock: {ast.unparse(node)}")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (ast.unparse(node.value).rpartition(".")[2], node.attr) in CLOCKS
    ]


def _sources() -> list[Module]:
    files = sorted((ROOT / "exporter").rglob("*.py"))
    return [Module(file.relative_to(ROOT).as_posix(), file.read_text("utf-8")) for file in files]


def test_the_walls_stand() -> None:
    """No file of the exporter reaches through a wall."""
    sources = _sources()
    assert len(sources) > 1
    assert [wrong for module in sources for wrong in violations(module)] == []


def test_every_part_has_its_row() -> None:
    """A new part says what it may import."""
    assert {module.part for module in _sources()} - MAY_IMPORT.keys() == set()


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("diagnosis/age.py", "import exporter.server", "may not import exporter.server"),
        ("diagnosis/age.py", "from exporter import server", "may not import exporter.server"),
        ("diagnosis/age.py", "from ..server import reads", "may not import exporter.server"),
        ("diagnosis/__init__.py", "from ..config import file", "may not import exporter.config"),
        ("new.py", "import exporter.snapshot", "new may not import exporter.snapshot"),
        ("diagnosis/age.py", "from exporter.config.file import load", "exporter.config"),
        ("config/model.py", "from exporter.server import connection", "exporter.server"),
        ("web/api.py", "from exporter.commands import terminate", "exporter.commands"),
        ("poller.py", "def f():\n    import exporter.daemon", ":2: poller may not import"),
        ("web/api.py", "import psycopg.rows", "only demo, server may import psycopg"),
        ("web/api.py", "from yaml import safe_load", "only alerts, config may import yaml"),
        ("snapshot.py", "import time", "may not import time"),
        ("collectors/x.py", "import asyncio.queues", "may not import asyncio"),
        ("collectors/x.py", "import datetime\nnow = datetime.datetime.now()", ":2: asks the clock"),
    ],
)
def test_a_breach_is_told_with_its_place(path: str, text: str, message: str) -> None:
    """The checker itself sees what it is there for, in each form of an import."""
    (told,) = violations(Module(f"exporter/{path}", text))
    assert told.startswith(f"exporter/{path}:")
    assert message in told


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("config/file.py", "import yaml\nfrom exporter.server.dsn import parse"),
        ("diagnosis/age.py", "from datetime import datetime\nfrom exporter.snapshot import Row"),
        ("diagnosis/age.py", "from .clients import match\nfrom . import clients"),
        ("daemon.py", "from exporter import __version__, web"),
        ("server/reads.py", "import psycopg\nfrom time import monotonic"),
    ],
)
def test_what_is_allowed_passes(path: str, text: str) -> None:
    """The checker lets the intended imports through."""
    assert violations(Module(f"exporter/{path}", text)) == []
