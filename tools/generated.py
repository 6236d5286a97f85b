"""Write the files that the product generates, or with --check fail where one is stale."""

import sys
from collections.abc import Iterator
from pathlib import Path

from exporter.commands.dashboards import Wanted
from exporter.commands.dashboards import files as dashboard_files
from exporter.dashboards.rendering import NAMES
from tools.process import output

ROOT = Path(__file__).parents[1]
# The file, and the module and its arguments that print what belongs into it.
DOCUMENTS = {
    "config.schema.json": "exporter.config.schema",
    "docs/alerts.md": "tools.alert_reference",
    "docs/configuration.md": "exporter.config.reference",
    "docs/dashboards.md": "tools.dashboard_reference",
    "docs/metrics.md": "exporter.reference",
    **{
        f"exporter/dashboards/templates/{uid}.json": f"grafana.src {name}"
        for name, uid in NAMES.items()
    },
    "grafana/alerts/alertmanager.yaml": "exporter export alertmanager",
    "grafana/alerts/pgconn.rules.yaml": "exporter export alerts",
}
OWNED = ("dashboards", "provisioning")  # folders of grafana/ where nothing else may lie


def documents() -> Iterator[tuple[Path, str | None]]:
    """Give each file with what belongs into it, None where it has no business there."""
    for name, module in DOCUMENTS.items():
        yield ROOT / name, output(sys.executable, "-m", *module.split(), cwd=ROOT)
    # The dashboards last, since they come from the templates.
    grafana = ROOT / "grafana"
    made = {grafana / name: text for name, text in dashboard_files(Wanted())}
    there = {file for folder in OWNED for file in _files(grafana / folder)}
    for file in sorted(made.keys() | there):
        yield file, made.get(file)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file())


def main(*, check: bool) -> int:
    """Return the number of stale files; without check, none is left."""
    stale = 0
    for file, document in documents():
        name = file.relative_to(ROOT)
        if file.exists() and file.read_text(encoding="utf-8") == document:
            continue
        if check:
            print(f"{name} is stale: run `make generate`")
            stale += 1
        elif document is None:
            print(f"removing {name}")
            file.unlink()
        else:
            print(f"writing {name}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
