"""Files that bring the dashboards to a Grafana: its own provisioning, or ConfigMaps."""

from collections.abc import Mapping
from typing import Any, Final

from exporter.alerts.model import Dashboard
from exporter.alerts.rendering import Options, to_yaml
from exporter.dashboards.rendering import rendered, to_json

FOLDER: Final = "PostgreSQL connections"
"""The folder of the dashboards in Grafana."""

PROVIDER_FILE: Final = "provisioning/dashboards/pgconn-exporter.yaml"
SOURCE_FILE: Final = "provisioning/datasources/prometheus.yaml"

_PROVIDER_HEAD: Final = """\
# Has Grafana load the dashboards: into /etc/grafana/provisioning/dashboards. `path` is where they
# lie, as Grafana sees it.
"""
_SOURCE_HEAD: Final = """\
# A data source for the dashboards, where Grafana has none yet: into
# /etc/grafana/provisioning/datasources. They let any Prometheus be chosen, also Mimir's, Thanos' or
# VictoriaMetrics'. timeInterval is the scrape interval: rates over less see too few samples.
"""

# What the sidecar of Grafana's Helm chart looks for, by default.
SIDECAR_LABEL: Final[Mapping[str, str]] = {"grafana_dashboard": "1"}
_FOLDER_ANNOTATION: Final = "grafana_folder"


def provider(path: str) -> str:
    """Give the file by which Grafana finds dashboards in a folder of its file system."""
    document = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "pgconn-exporter",
                "folder": FOLDER,
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 60,
                "options": {"path": path},
            }
        ],
    }
    return _PROVIDER_HEAD + to_yaml(document)


def datasource(url: str) -> str:
    """Give the file that tells Grafana of a Prometheus."""
    document = {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": url,
                "isDefault": True,
                "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
            }
        ],
    }
    return _SOURCE_HEAD + to_yaml(document)


def config_map(
    dashboard: Dashboard, options: Options, labels: Mapping[str, str]
) -> Mapping[str, Any]:
    """Give the ConfigMap of a dashboard, by whose labels Grafana's sidecar finds it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"grafana-{dashboard}",
            "labels": dict(labels),
            "annotations": {_FOLDER_ANNOTATION: FOLDER},
        },
        "data": {f"{dashboard}.json": to_json(rendered(dashboard, options))},
    }
