"""The house's own words for dashboards: each panel answers a question, and nothing is left out.

What is written in them is turned into Grafana's JSON with its foundation SDK. It forces what every
panel has to have: an id that stays, title, description, unit, data source, legend, links, place.
"""

from grafana.src.house.building import template
from grafana.src.house.links import Link, to
from grafana.src.house.model import (
    BLUE,
    GREEN,
    GREY,
    NO,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Annotation,
    BarGauge,
    Column,
    Compare,
    Heatmap,
    Page,
    Panel,
    Query,
    Row,
    Stat,
    Step,
    Table,
    Text,
    Timeline,
    TimeSeries,
    Word,
    orange,
    red,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "NO",
    "ORANGE",
    "PURPLE",
    "RED",
    "YELLOW",
    "Annotation",
    "BarGauge",
    "Column",
    "Compare",
    "Heatmap",
    "Link",
    "Page",
    "Panel",
    "Query",
    "Row",
    "Stat",
    "Step",
    "Table",
    "Text",
    "TimeSeries",
    "Timeline",
    "Word",
    "orange",
    "red",
    "template",
    "to",
]
