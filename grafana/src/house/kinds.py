"""Each kind of panel but tables, in Grafana's words."""

from collections.abc import Callable
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat

from grafana.src.house.dressing import coloured, dress, fixed, newest, option
from grafana.src.house.model import BarGauge, Heatmap, Query, Stat, Timeline, TimeSeries

# Where all is 0, Grafana would draw these against 100.
_COUNTED: Final = {"short", "cps", "reqps", "ops"}


def stat_panel(panel: Stat) -> model.Panel:
    """Build numbers to be read from afar."""
    builder = dress(stat.Panel(), panel).reduce_options(newest())
    builder.color_scheme(coloured(model.FieldColorModeId.THRESHOLDS))
    builder.color_mode(words.BigValueColorMode.BACKGROUND)
    graph = words.BigValueGraphMode.AREA if panel.spark else words.BigValueGraphMode.NONE
    builder.graph_mode(graph).justify_mode(words.BigValueJustifyMode.AUTO)
    named = words.BigValueTextMode.VALUE_AND_NAME if panel.named else words.BigValueTextMode.AUTO
    builder.text_mode(named).wide_layout(wide_layout=True)
    return builder.build()


def bars(panel: BarGauge) -> model.Panel:
    """Build a bar for each series."""
    builder = dress(bargauge.Panel(), panel).reduce_options(newest())
    builder.color_scheme(coloured(model.FieldColorModeId.THRESHOLDS)).min(0)
    if panel.top is not None:
        builder.max(panel.top)
    builder.orientation(words.VizOrientation.HORIZONTAL)
    builder.display_mode(words.BarGaugeDisplayMode.GRADIENT)
    return builder.build()


def lines(panel: TimeSeries) -> model.Panel:
    """Build lines over time."""
    builder = dress(timeseries.Panel(), panel).legend(_legend(wide=panel.wide_legend))
    builder.color_scheme(coloured(model.FieldColorModeId.PALETTE_CLASSIC))
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
    builder.min(0)
    if panel.top is not None:
        builder.max(panel.top)
    for pattern, colour in panel.colours.items():
        builder.override_by_regexp(f"/{pattern}/", [fixed(colour)])
    _override_queries(builder.override_by_query, panel.queries)
    return builder.build()


def _override_queries(
    override: Callable[[str, list[model.DynamicConfigValue]], object], queries: tuple[Query, ...]
) -> None:
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        properties = [fixed(query.colour)] if query.colour else []
        if query.dashed:
            dash = {"fill": "dash", "dash": [6, 6]}
            properties += [
                option("custom.lineStyle", dash),
                option("custom.fillOpacity", 0),
                option("custom.stacking", {"mode": "none", "group": letter}),
            ]
        if not query.linked:
            properties.append(option("links", []))
        if properties:
            override(letter, properties)


def _legend(*, wide: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True)
    if not wide:
        legend.display_mode(words.LegendDisplayMode.LIST)
        return legend.placement(words.LegendPlacement.BOTTOM).calcs([])
    legend.display_mode(words.LegendDisplayMode.TABLE).placement(words.LegendPlacement.RIGHT)
    return legend.calcs(["lastNotNull", "max"]).sort_by("Last *").sort_desc(sort_desc=True)


def states(panel: Timeline) -> model.Panel:
    """Build states over time."""
    builder = dress(statetimeline.Panel(), panel)
    builder.color_scheme(coloured(model.FieldColorModeId.THRESHOLDS))
    builder.show_value(words.VisibilityMode.NEVER).row_height(0.8)
    builder.merge_values(merge_values=True)
    legend = common.VizLegendOptions().show_legend(show_legend=True).calcs([])
    legend.display_mode(words.LegendDisplayMode.LIST).placement(words.LegendPlacement.BOTTOM)
    return builder.legend(legend).build()


def heat_map(panel: Heatmap) -> model.Panel:
    """Build how many are in which bucket, over time."""
    builder = dress(heatmap.Panel(), panel).calculate(calculate=False)
    builder.y_axis(heatmap.YAxisConfig().unit(panel.unit))
    builder.cell_values(heatmap.CellValues().unit("short")).cell_gap(1)
    scheme = heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues")
    builder.color(scheme.steps(32).reverse(reverse=False).exponent(0.5))
    builder.show_legend().show_value(words.VisibilityMode.AUTO)
    return builder.build()
