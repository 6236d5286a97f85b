"""Panels in Grafana's words, at their place, with the queries that the selection is put into."""

import zlib
from collections.abc import Callable, Iterator, Mapping
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as asked

from grafana.src.house.dressing import SOURCE
from grafana.src.house.kinds import bars, heat_map, lines, stat_panel, states
from grafana.src.house.model import (
    BarGauge,
    Heatmap,
    Page,
    Panel,
    Stat,
    Table,
    Timeline,
    TimeSeries,
)
from grafana.src.house.selecting import selecting
from grafana.src.house.tables import table_panel

_KINDS: Final[Mapping[type, Callable[[Any], model.Panel]]] = {
    Stat: stat_panel,
    BarGauge: bars,
    TimeSeries: lines,
    Timeline: states,
    Heatmap: heat_map,
    Table: table_panel,
}


def build(panel: Panel, page: Page, place: model.GridPos) -> model.Panel:
    """Give a panel in Grafana's words, at its place."""
    built = _KINDS[type(panel)](panel)
    built.id_val = identity(page.uid, panel.title)
    built.grid_pos = place
    built.targets = list(_targets(panel, page))
    return built


def identity(*names: str) -> int:
    """Give the id of what is called so: the same for ever, wherever it stands."""
    return 1 + zlib.crc32("/".join(names).encode()) % 1_000_000


def _targets(panel: Panel, page: Page) -> Iterator[asked.Dataquery]:
    instant = isinstance(panel, Stat | BarGauge | Table) and not (
        isinstance(panel, Stat) and panel.spark
    )
    shape = asked.PromQueryFormat.TIME_SERIES
    if isinstance(panel, Table):
        shape = asked.PromQueryFormat.TABLE
    elif isinstance(panel, Heatmap):
        shape = asked.PromQueryFormat.HEATMAP
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        built = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).format(shape)
        built.expr(selecting(query.expr, clients=page.clients)).legend_format(query.legend)
        built.editor_mode(asked.QueryEditorMode.CODE)
        built = built.instant() if instant else built.range()
        yield built.build()
