"""A small dashboard with which nothing is wrong: what each check complains of is made from it."""

import zlib
from typing import Any, Final

from exporter.alerts.model import Dashboard

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN: Final = '{job=~"$job", instance=~"$instance", target=~"$target"}'
RATIO: Final = (
    f"max by (target) (pgconn_slots_used{CHOSEN}"
    f" / on (job, instance, target) (pgconn_slots_usable{CHOSEN} > 0))"
)
HELD: Final = f"max by (target, client) (pgconn_client_connections{CHOSEN})"
OPENED: Final = (
    "max by (target, client) (rate("
    f"pgconn_connections_opened_total{CHOSEN}[$__rate_interval] offset $compare))"
)
ALERTS: Final = (
    'max by (target) (ALERTS{severity="critical", job=~"$job", instance=~"$instance",'
    ' target=~"$target"})'
)
_KEPT: Final = "${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"


def to_connections(source: str) -> str:
    """Give a link that takes a target along."""
    target = f"var-target=${{{source}.target:percentencode}}"
    return f"/d/pgconn-connections?{_KEPT}&{target}&${{__url_time_range}}"


def example() -> dict[str, Any]:
    """Give a template; a new one each time, which may be broken."""
    panels = [
        _placed(_panel("row", "First"), 0, 0, 24, 1) | {"panels": [], "collapsed": False},
        _placed(_stat(), 0, 1, 6, 4),
        _placed(_text(), 6, 1, 18, 4),
        _placed(_table(), 0, 5, 12, 8),
        _placed(_graph(), 12, 5, 12, 8),
        _placed(_heatmap(), 0, 13, 24, 8),
    ]
    return {
        "uid": str(Dashboard.INCIDENT),
        "title": "Example",
        "schemaVersion": 42,
        "tags": ["pgconn"],
        "editable": False,
        "templating": {"list": _variables()},
        "annotations": {"list": [_annotation()]},
        "links": [
            {"type": "dashboards", "tags": ["pgconn"], "keepTime": True, "includeVars": True}
        ],
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    chosen = {
        "job": "",
        "instance": '{job=~"$job"}',
        "target": '{job=~"$job", instance=~"$instance"}',
    }
    return [
        {
            "type": "datasource",
            "name": "datasource",
            "label": "Data source",
            "query": "prometheus",
        },
        *(
            {
                "type": "query",
                "name": name,
                "label": name.title(),
                "query": f"label_values(pgconn_up{before}, {name})",
                "datasource": SOURCE,
                "multi": True,
                "includeAll": True,
                "allValue": ".+",
                "refresh": 2,
            }
            for name, before in chosen.items()
        ),
        {"type": "custom", "name": "compare", "current": {"value": "1d"}},
    ]


def _annotation() -> dict[str, Any]:
    return {
        "name": "Pages",
        "iconColor": "red",
        "datasource": SOURCE,
        "expr": ALERTS,
        "target": {"expr": ALERTS},
        "titleFormat": "{{target}}",
    }


def _placed(panel: dict[str, Any], x: int, y: int, w: int, h: int) -> dict[str, Any]:
    return panel | {"gridPos": {"x": x, "y": y, "w": w, "h": h}}


def _panel(kind: str, title: str, *targets: dict[str, Any], **defaults: Any) -> dict[str, Any]:  # noqa: ANN401 - what Grafana takes
    row = "row/" if kind == "row" else ""
    return {
        "id": 1 + zlib.crc32(f"{Dashboard.INCIDENT}/{row}{title}".encode()) % 1_000_000,
        "type": kind,
        "title": title,
        "description": "**Is it so?**\n\nThen do this.",
        "datasource": SOURCE,
        "targets": list(targets),
        "options": {},
        "fieldConfig": {
            "defaults": {"unit": "short", "noValue": "None", **defaults},
            "overrides": [],
        },
    }


def _target(letter: str, expr: str, legend: str = "", **form: Any) -> dict[str, Any]:  # noqa: ANN401 - what Grafana takes
    usual = {"format": "time_series", "range": True}
    return {
        "refId": letter,
        "expr": expr,
        "legendFormat": legend,
        "datasource": SOURCE,
        **usual,
        **form,
    }


def _steps(*steps: tuple[str, str | float | None]) -> dict[str, Any]:
    return {"steps": [{"color": colour, "value": value} for colour, value in steps]}


def _stat() -> dict[str, Any]:
    return _panel(
        "stat",
        "Used",
        _target("A", RATIO, "{{target}}", instant=True, range=False),
        unit="percentunit",
        thresholds=_steps(
            ("green", None), ("orange", "@{slots_high}"), ("red", "@{slots_critical}")
        ),
        links=[{"url": to_connections("__field.labels")}],
    )


def _text() -> dict[str, Any]:
    return _panel("text", "Read") | {"options": {"content": "Begin at the left."}}


def _table() -> dict[str, Any]:
    now: dict[str, Any] = {"instant": True, "range": False, "format": "table"}
    columns = {"target": "Target", "client": "Client", "Value #A": "Held", "Value #B": "Lost"}
    lost = f"max by (target, client) (sum without (reason) (pgconn_orphaned_connections{CHOSEN}))"
    panel = _panel("table", "Holders", _target("A", HELD, **now), _target("B", lost, **now))
    panel["options"] = {"sortBy": [{"displayName": "Held"}]}
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": list(columns)}}},
        {"id": "organize", "options": {"renameByName": columns}},
    ]
    properties: dict[str, dict[str, Any]] = {
        "Target": {"unit": "string", "links": [{"url": to_connections("__data.fields")}]},
        "Lost": {
            "unit": "short",
            "thresholds": _steps(("green", None), ("orange", "@{orphans_many}")),
        },
    }
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": title},
            "properties": [{"id": name, "value": value} for name, value in given.items()],
        }
        for title, given in properties.items()
    ]
    return panel


def _graph() -> dict[str, Any]:
    says = {"type": "value", "options": {"0": {"text": "No", "color": "red"}}}
    return _panel(
        "timeseries",
        "Course",
        _target("A", OPENED, "{{target}} {{client}}"),
        _target("B", f"min by (target) (pgconn_up{CHOSEN})", "{{target}}"),
        thresholds=_steps(("green", None), ("orange", "@{churn}")),
        unit="cps",
        mappings=[says],
    )


def _heatmap() -> dict[str, Any]:
    buckets = f"sum by (le) (pgconn_idle_age_seconds_bucket{CHOSEN})"
    return _panel("heatmap", "Ages", _target("A", buckets, format="heatmap"), unit="s")
