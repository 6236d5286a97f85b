"""Dashboards in Grafana's words: what all of them have, and where their panels stand."""

import json
from collections.abc import Iterator
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as asked

from grafana.src.house.dressing import SOURCE
from grafana.src.house.model import Annotation, Page, Row
from grafana.src.house.panels import build, identity
from grafana.src.house.selecting import selecting

COLUMNS: Final = 24
TAG: Final = "pgconn"
ALL: Final = ".+"
BEFORE: Final = ("1d", "7d", "1h")
"""How long ago there may be something to compare with; the first is chosen."""


def template(page: Page) -> str:
    """Give a dashboard as JSON, in which `@{NAME}` is a threshold of the alerts."""
    built = _dashboard(page).build()
    built.panels = list(_panels(page))
    document = json.loads(JSONEncoder().encode(built))
    return json.dumps(_visible(document), indent=1, ensure_ascii=False) + "\n"


def _visible(document: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out where links and annotations stand: the SDK can only hide them in a menu."""
    if isinstance(document, list):
        return list(map(_visible, document))
    if not isinstance(document, dict):
        return document
    hidden = ("placement", "inControlsMenu")
    return {key: _visible(value) for key, value in document.items() if (key, value) != hidden}


def _dashboard(page: Page) -> dashboard.Dashboard:
    builder = dashboard.Dashboard(f"pgconn / {page.title}").uid(page.uid)
    builder.description(page.answers).tags([TAG, "postgresql"]).editable().readonly()
    builder.time("now-1h", "now").refresh("30s").timezone("browser")
    builder.tooltip(model.DashboardCursorSync.CROSSHAIR)
    for variable in _variables(page):
        builder.with_variable(variable)
    for annotation in page.annotations:
        builder.annotation(_annotation(annotation))
    return builder.link(_other_dashboards())


def _other_dashboards() -> dashboard.DashboardLink:
    link = dashboard.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    link.tags([TAG]).as_dropdown(as_dropdown=False).include_vars(include_vars=True)
    return link.keep_time(keep_time=True).icon("dashboard").tooltip("")


# --- Variables


def _variables(page: Page) -> Iterator[Any]:
    default = model.VariableOption(selected=True, text="default", value="default")
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    yield source.current(default)
    yield _choice("job", "Job", f"label_values({page.targets}, job)")
    yield _choice("instance", "Instance", f'label_values({page.targets}{{job=~"$job"}}, instance)')
    of_instance = 'job=~"$job", instance=~"$instance"'
    yield _choice("target", "Target", f"label_values({page.targets}{{{of_instance}}}, target)")
    if page.clients:
        of_target = f'{of_instance}, target=~"$target"'
        yield _choice(
            "client", "Client", f"label_values(pgconn_client_connections{{{of_target}}}, client)"
        )
    if page.compare:
        yield _compare()


def _choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    variable = dashboard.QueryVariable(name).label(label).query(query).datasource(SOURCE)
    variable.multi(multi=True).include_all(include_all=True).all_value(ALL).current(everything)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(model.VariableSort.ALPHABETICAL_ASC)


def _compare() -> dashboard.CustomVariable:
    options = [
        model.VariableOption(selected=place == 0, text=choice, value=choice)
        for place, choice in enumerate(BEFORE)
    ]
    variable = dashboard.CustomVariable("compare").label("Compared with, before")
    return variable.values(",".join(BEFORE)).options(options).current(options[0])


# --- What is marked in all graphs


def _annotation(annotation: Annotation) -> dashboard.AnnotationQuery:
    query = prometheus.Dataquery().ref_id("Anno").expr(selecting(annotation.expr, clients=False))
    query.datasource(SOURCE).format(asked.PromQueryFormat.TIME_SERIES).range()
    builder = dashboard.AnnotationQuery().name(annotation.name).datasource(SOURCE).target(query)
    builder.enable(annotation.shown).hide(hide=False).icon_color(annotation.colour)
    builder.expr(selecting(annotation.expr, clients=False))
    return builder.title_format(annotation.title).text_format(annotation.text).step("")


# --- Where the panels stand


def _panels(page: Page) -> Iterator[Any]:
    y = 0
    for row in page.rows:
        heading = dashboard.Row(row.title).collapsed(collapsed=False).build()
        heading.id_val = identity(page.uid, "row", row.title)
        heading.grid_pos = model.GridPos(h=1, w=COLUMNS, x=0, y=y)
        yield heading
        y += 1
        for panel, place in _placed(row, y):
            yield build(panel, page, place)
            y = max(y, place.y + place.h)


def _placed(row: Row, top: int) -> Iterator[tuple[Any, model.GridPos]]:
    x, y, height = 0, top, 0
    for panel in row.panels:
        if x + panel.width > COLUMNS:
            x, y, height = 0, y + height, 0
        yield panel, model.GridPos(h=panel.height, w=panel.width, x=x, y=y)
        x, height = x + panel.width, max(height, panel.height)
