"""The house's own words for dashboards: each panel answers a question, and nothing is left out.

What is written in them is turned into Grafana's JSON with its foundation SDK. It forces what every
panel has to have: an id that stays, title, description, unit, data source, legend, links, place.
"""

from grafana.src.house.building import template
from grafana.src.house.links import Link, to
from grafana.src.house.model import (
    BLUE,
    CLEAR,
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
    Heatmap,
    Page,
    Panel,
    Query,
    Row,
    Stat,
    Step,
    Table,
    Timeline,
    TimeSeries,
    Word,
    Words,
    orange,
    red,
)

__all__ = [
    "BLUE",
    "CLEAR",
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
    "Heatmap",
    "Link",
    "Page",
    "Panel",
    "Query",
    "Row",
    "Stat",
    "Step",
    "Table",
    "TimeSeries",
    "Timeline",
    "Word",
    "Words",
    "orange",
    "red",
    "template",
    "to",
]
