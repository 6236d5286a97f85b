"""Write the files that the product generates, or with --check fail where one is stale."""

import sys
from pathlib import Path

from tools.process import output

ROOT = Path(__file__).parents[1]
# The file, and the module and its arguments that print what belongs into it.
DOCUMENTS = {
    "config.schema.json": "exporter.config.schema",
    "docs/alerts.md": "tools.alert_reference",
    "docs/configuration.md": "exporter.config.reference",
    "docs/metrics.md": "exporter.reference",
    "grafana/alerts/alertmanager.yaml": "exporter export alertmanager",
    "grafana/alerts/pgconn.rules.yaml": "exporter export alerts",
}


def main(*, check: bool) -> int:
    """Return the number of stale files; without check, none is left."""
    stale = 0
    for name, module in DOCUMENTS.items():
        file = ROOT / name
        document = output(sys.executable, "-m", *module.split(), cwd=ROOT)
        if file.exists() and file.read_text(encoding="utf-8") == document:
            continue
        if check:
            print(f"{name} is stale: run `make generate`")
            stale += 1
        else:
            print(f"writing {name}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(document, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
