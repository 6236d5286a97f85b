"""Panels in Grafana's words."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import singledispatch
from string import ascii_uppercase
from typing import Any, Final, Protocol, Self, TypeVar, cast

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models import prometheus as asked
from grafana_foundation_sdk.models import text as markup

from grafana.src.house.links import Link
from grafana.src.house.model import (
    GREEN,
    GREY,
    BarGauge,
    Column,
    Heatmap,
    Page,
    Panel,
    Query,
    Stat,
    Step,
    Table,
    Text,
    Timeline,
    TimeSeries,
    Words,
)
from grafana.src.house.selecting import selecting

# Where all is 0, Grafana would draw these against 100.
_COUNTED: Final = {"short", "cps", "reqps", "ops"}

SOURCE: Final = words.DataSourceRef(type_val="prometheus", uid="${datasource}")


class _Common(Protocol):
    """What the builders of all panels have."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: words.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def thresholds(self, thresholds: Builder[model.ThresholdsConfig]) -> Self: ...
    def mappings(self, mappings: list[model.ValueMapping]) -> Self: ...
    def data_links(self, links: list[Builder[model.DashboardLink]]) -> Self: ...
    def decimals(self, decimals: float) -> Self: ...
    def interval(self, interval: str) -> Self: ...
    def build(self) -> model.Panel: ...


Dressed = TypeVar("Dressed", bound=_Common)


def build(panel: Panel | Text, page: Page, place: model.GridPos) -> model.Panel:
    """Give a panel in Grafana's words, at its place."""
    built = _build(panel, page)
    built.id_val = identity(page.uid, panel.title)
    built.grid_pos = place
    if isinstance(panel, Panel):
        built.targets = list(_targets(panel, page))
    return built


def identity(*names: str) -> int:
    """Give the id of what is called so: the same for ever, wherever it stands."""
    return 1 + zlib.crc32("/".join(names).encode()) % 1_000_000


def describe(panel: Panel) -> str:
    """Tell what a panel answers, and what to do."""
    return "\n\n".join(filter(None, (f"**{panel.question}**", panel.meaning, panel.then)))


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


# --- What all of them have


def _dress(builder: Dressed, panel: Panel) -> Dressed:
    builder.title(panel.title).description(describe(panel)).datasource(SOURCE)
    builder.unit(panel.unit).no_value(panel.empty)
    builder.thresholds(_colours(panel))
    if panel.words:
        builder.mappings([_mapping(panel.words)])
    if panel.links:
        builder.data_links(list(map(_link, panel.links)))
    if panel.decimals is not None:
        builder.decimals(panel.decimals)
    if panel.every:
        builder.interval(panel.every)
    return builder


def _colours(panel: Panel) -> dashboard.ThresholdsConfig:
    # What is not known takes the lowest colour, and must not look well.
    if isinstance(panel, Stat) and panel.base == GREEN:
        return _thresholds((Step(GREEN, 0), *panel.steps), GREY)
    return _thresholds(panel.steps, panel.base)


def _thresholds(steps: Iterable[Step], base: str) -> dashboard.ThresholdsConfig:
    first = model.Threshold(color=base)
    more = [model.Threshold(color=step.colour, value=_number(step.value)) for step in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([first, *more])


def _number(value: str | float) -> float:
    # The SDK wants a number; in a template, a threshold's name stands in its place.
    return cast("float", f"@{{{value}}}") if isinstance(value, str) else value


def _mapping(said: Words) -> model.ValueMap:
    return model.ValueMap(
        options={
            value if isinstance(value, str) else f"{value:g}": model.ValueMappingResult(
                text=word.text, color=word.colour, index=place
            )
            for place, (value, word) in enumerate(said.items())
        }
    )


def _link(link: Link) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(link.title).url(link.url)


def _colour(mode: model.FieldColorModeId, fixed: str | None = None) -> dashboard.FieldColor:
    colour = dashboard.FieldColor().mode(mode)
    return colour.fixed_color(fixed) if fixed else colour


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _fixed(colour: str) -> model.DynamicConfigValue:
    return _property("color", {"mode": "fixed", "fixedColor": colour})


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


# --- Each kind


@singledispatch
def _build(panel: Any, page: Page) -> model.Panel:  # noqa: ANN401, ARG001 - what has no kind
    raise TypeError(f"no panel: {panel!r}")


@_build.register
def _stat(panel: Stat, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(stat.Panel(), panel).reduce_options(_newest())
    builder.color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
    builder.color_mode(words.BigValueColorMode.BACKGROUND)
    graph = words.BigValueGraphMode.AREA if panel.spark else words.BigValueGraphMode.NONE
    builder.graph_mode(graph).justify_mode(words.BigValueJustifyMode.AUTO)
    named = words.BigValueTextMode.VALUE_AND_NAME if panel.named else words.BigValueTextMode.AUTO
    builder.text_mode(named).wide_layout(wide_layout=True)
    return builder.build()


@_build.register
def _bars(panel: BarGauge, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(bargauge.Panel(), panel).reduce_options(_newest())
    builder.color_scheme(_colour(model.FieldColorModeId.THRESHOLDS)).min(0)
    if panel.top is not None:
        builder.max(panel.top)
    builder.orientation(words.VizOrientation.HORIZONTAL)
    builder.display_mode(words.BarGaugeDisplayMode.GRADIENT)
    return builder.build()


@_build.register
def _lines(panel: TimeSeries, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(timeseries.Panel(), panel).legend(_legend(wide=panel.wide_legend))
    builder.color_scheme(_colour(model.FieldColorModeId.PALETTE_CLASSIC))
    builder.tooltip(
        common.VizTooltipOptions()
        .mode(words.TooltipDisplayMode.MULTI)
        .sort(words.SortOrder.DESCENDING)
    )
    builder.draw_style(words.GraphDrawStyle.LINE).show_points(words.VisibilityMode.NEVER)
    builder.line_width(1).fill_opacity(40 if panel.stacked else 8)
    if panel.stacked:
        builder.stacking(common.StackingConfig().mode(words.StackingMode.NORMAL).group("A"))
    if panel.steps:
        dashed = common.GraphThresholdsStyleConfig().mode(words.GraphThresholdsStyleMode.DASHED)
        builder.thresholds_style(dashed)
    if panel.unit in _COUNTED or (panel.unit == "percentunit" and panel.steps):
        builder.axis_soft_max(1)
    if panel.bottom is not None:
        builder.min(panel.bottom)
    if panel.top is not None:
        builder.max(panel.top)
    for pattern, colour in panel.colours.items():
        builder.override_by_regexp(f"/{pattern}/", [_fixed(colour)])
    _override_queries(builder.override_by_query, panel.queries)
    return builder.build()


def _override_queries(
    override: Callable[[str, list[model.DynamicConfigValue]], object], queries: tuple[Query, ...]
) -> None:
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        properties = [_fixed(query.colour)] if query.colour else []
        if query.dashed:
            dash = {"fill": "dash", "dash": [6, 6]}
            properties += [
                _property("custom.lineStyle", dash),
                _property("custom.fillOpacity", 0),
                _property("custom.stacking", {"mode": "none", "group": letter}),
            ]
        if not query.linked:
            properties.append(_property("links", []))
        if properties:
            override(letter, properties)


def _legend(*, wide: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True)
    if not wide:
        legend.display_mode(words.LegendDisplayMode.LIST)
        return legend.placement(words.LegendPlacement.BOTTOM).calcs([])
    legend.display_mode(words.LegendDisplayMode.TABLE).placement(words.LegendPlacement.RIGHT)
    return legend.calcs(["lastNotNull", "max"]).sort_by("Last *").sort_desc(sort_desc=True)


@_build.register
def _states(panel: Timeline, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(statetimeline.Panel(), panel)
    builder.color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
    builder.show_value(words.VisibilityMode.NEVER).row_height(0.8)
    builder.merge_values(merge_values=True)
    legend = common.VizLegendOptions().show_legend(show_legend=True).calcs([])
    legend.display_mode(words.LegendDisplayMode.LIST).placement(words.LegendPlacement.BOTTOM)
    return builder.legend(legend).build()


@_build.register
def _heat(panel: Heatmap, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(heatmap.Panel(), panel).calculate(calculate=False)
    builder.y_axis(heatmap.YAxisConfig().unit(panel.unit))
    builder.cell_values(heatmap.CellValues().unit(panel.counted)).cell_gap(1)
    scheme = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues")
    builder.color(scheme.steps(32).reverse(reverse=False).exponent(0.5))
    builder.show_legend().show_value(words.VisibilityMode.AUTO)
    return builder.build()


@_build.register
def _text(panel: Text, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    return (
        text.Panel()
        .title(panel.title)
        .mode(markup.TextMode.MARKDOWN)
        .content(panel.content)
        .description(panel.content)
        .datasource(SOURCE)
        .build()
    )


# --- Tables


@_build.register
def _table(panel: Table, page: Page) -> model.Panel:  # noqa: ARG001 - as all
    builder = _dress(table.Panel(), panel).cell_height(words.TableCellHeight.SM)
    builder.color_scheme(_colour(model.FieldColorModeId.THRESHOLDS))
    builder.transformations(list(_transformations(panel)))
    builder.sort_by([common.TableSortByFieldState().display_name(panel.order).desc(desc=True)])
    for column in panel.columns:
        builder.override_by_name(column.title, list(_column(column)))
    return builder.build()


def _transformations(panel: Table) -> Iterator[model.DataTransformerConfig]:
    if len(panel.queries) > 1:
        yield model.DataTransformerConfig(id_val="merge", options={})
    names = [_field(column.name, panel) for column in panel.columns]
    yield model.DataTransformerConfig(
        id_val="filterFieldsByName", options={"include": {"names": names}}
    )
    titles = [column.title for column in panel.columns]
    yield model.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {},
            "indexByName": {name: place for place, name in enumerate(names)},
            "renameByName": dict(zip(names, titles, strict=True)),
        },
    )


def _field(name: str, panel: Table) -> str:
    """Give the name of a field as Grafana makes it from the answers."""
    if len(name) > 1:
        return name
    return f"Value #{name}" if len(panel.queries) > 1 else "Value"


def _column(column: Column) -> Iterator[model.DynamicConfigValue]:
    yield _property("unit", column.unit)
    if column.width is not None:
        yield _property("custom.width", column.width)
    if column.decimals is not None:
        yield _property("decimals", column.decimals)
    if column.words:
        yield _property("mappings", [_mapping(column.words)])
    if column.links:
        links = [{"title": link.title, "url": link.url} for link in column.links]
        yield _property("links", links)
    yield _property("thresholds", _thresholds(column.steps, column.base).build())
    if column.bar:
        yield _property(
            "custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        )
        yield _property("min", 0)
        if column.top is not None:
            yield _property("max", column.top)
    elif column.steps or column.words:
        yield _property("custom.cellOptions", {"type": "color-background", "mode": "basic"})
