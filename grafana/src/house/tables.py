"""Tables, in Grafana's words: rows out of several queries, and what their columns show."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model

from grafana.src.house.dressing import coloured, dress, mapping, option, thresholds
from grafana.src.house.model import Column, Table


def table_panel(panel: Table) -> model.Panel:
    """Build what is true now, a row for each set of labels."""
    builder = dress(table.Panel(), panel).cell_height(words.TableCellHeight.SM)
    builder.color_scheme(coloured(model.FieldColorModeId.THRESHOLDS))
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
    yield option("unit", column.unit)
    if column.width is not None:
        yield option("custom.width", column.width)
    if column.decimals is not None:
        yield option("decimals", column.decimals)
    if column.words:
        yield option("mappings", [mapping(column.words)])
    if column.links:
        links = [{"title": link.title, "url": link.url} for link in column.links]
        yield option("links", links)
    yield option("thresholds", thresholds(column.steps, column.base).build())
    if column.bar:
        yield option(
            "custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        )
        yield option("min", 0)
        if column.top is not None:
            yield option("max", column.top)
    elif column.steps or column.words:
        yield option("custom.cellOptions", {"type": "color-background", "mode": "basic"})
