"""The bundled dashboards as files, with a user's own thresholds and addresses filled in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import Options, to_yaml
from exporter.dashboards.provisioning import (
    PROVIDER_FILE,
    SIDECAR_LABEL,
    SOURCE_FILE,
    config_map,
    datasource,
    provider,
)
from exporter.dashboards.rendering import importable, rendered, to_json

PATH: Final = "/var/lib/grafana/dashboards/pgconn-exporter"
SOURCE: Final = "http://prometheus:9090"


class DashboardForm(StrEnum):
    """How the dashboards get into Grafana."""

    PROVISIONING = "provisioning"
    CONFIG_MAPS = "configmaps"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of the dashboards."""

    form: DashboardForm = DashboardForm.PROVISIONING
    options: Options = field(default_factory=Options)
    path: str = PATH
    """Where Grafana finds the dashboards in its own file system."""
    source: str = SOURCE
    """Where Grafana finds Prometheus."""
    labels: Mapping[str, str] = field(default_factory=lambda: SIDECAR_LABEL)
    """Labels of the ConfigMaps."""


def one(dashboard: Dashboard, wanted: Wanted) -> str:
    """Give a dashboard in the wanted form, as text."""
    match wanted.form:
        case DashboardForm.CONFIG_MAPS:
            return to_yaml(config_map(dashboard, wanted.options, wanted.labels))
        case DashboardForm.IMPORT:
            return to_json(importable(dashboard, wanted.options))
        case DashboardForm.PROVISIONING:
            return to_json(rendered(dashboard, wanted.options))


def stream(wanted: Wanted) -> str:
    """Give all dashboards as documents of one stream, as kubectl takes them."""
    return "---\n".join(one(dashboard, wanted) for dashboard in Dashboard)


def write(folder: Path, wanted: Wanted) -> list[Path]:
    """Write the files of the wanted form below a folder, and give them; OSError where not."""
    written = []
    for name, text in files(wanted):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        written.append(file)
    return written


def files(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Give the files of the wanted form: their names, and what belongs into them."""
    provisioned = wanted.form is DashboardForm.PROVISIONING
    ending = "yaml" if wanted.form is DashboardForm.CONFIG_MAPS else "json"
    for dashboard in Dashboard:
        name = f"{dashboard}.{ending}"
        yield f"dashboards/{name}" if provisioned else name, one(dashboard, wanted)
    if provisioned:
        yield PROVIDER_FILE, provider(wanted.path)
        yield SOURCE_FILE, datasource(wanted.source)
