"""What a dashboard says, before Grafana's words: rows of panels that answer a question each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from exporter.alerts.model import Dashboard
from grafana.src.house.links import Link

# Names of Grafana's palette. Red is what pages, orange what opens a ticket, and nothing else.
GREEN: Final = "green"
ORANGE: Final = "orange"
RED: Final = "red"
BLUE: Final = "blue"
PURPLE: Final = "purple"
YELLOW: Final = "yellow"
GREY: Final = "#808080"
CLEAR: Final = "transparent"

NO: Final = 0
"""The value of a metric that is 1 or 0, as a threshold's."""


@dataclass(frozen=True, slots=True)
class Step:
    """A colour from a value on: a threshold of the alerts by its name, or a number."""

    colour: str
    value: str | float


def red(value: str | float) -> Step:
    """Colour what pages: from the threshold of a critical alert on."""
    return Step(RED, value)


def orange(value: str | float) -> Step:
    """Colour what opens a ticket: from the threshold of a warning on."""
    return Step(ORANGE, value)


@dataclass(frozen=True, slots=True)
class Word:
    """What stands for a number, and its colour."""

    text: str
    colour: str


Words = Mapping[int, Word] | Mapping[float, Word] | Mapping[str, Word]
"""What stands for values, or in a table for labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """PromQL without the dashboard's selection, which the house adds to every selector.

    `@{NAME}` is a threshold of the alerts. Where a panel has several queries, `legend` tells them
    apart; `{{label}}` in it is a label.
    """

    expr: str
    legend: str = ""
    dashed: bool = False
    """Draw it as what it is compared with."""
    colour: str = ""
    """A colour for all of its series, one of Grafana's palette."""
    linked: bool = True
    """Whether the panel's links are for its series too: a total has no client to lead to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel: what it answers, what it shows, and what to do then."""

    title: str
    question: str
    """What it answers, in the reader's words, with a question mark."""
    meaning: str = ""
    """How it is to be read, where the title does not tell."""
    then: str
    """What to do."""
    queries: tuple[Query, ...]
    unit: str
    """One of Grafana's, such as short, s, percentunit."""
    width: int
    """In columns of 24."""
    height: int = 8
    """In Grafana's rows of 38 pixels."""
    steps: tuple[Step, ...] = ()
    base: str = GREEN
    """The colour below all steps."""
    words: Words = field(default_factory=dict)
    empty: str = "None"
    """What stands there where nothing is found."""
    links: tuple[Link, ...] = ()
    """Where a click on a value leads."""
    decimals: int | None = None
    every: str = ""
    """The least time between two points, where what feeds it is read less often than scraped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """Numbers to be read from afar: the newest value of each series."""

    height: int = 4
    spark: bool = False
    """Draw the course below the number."""
    named: bool = False
    """Say whose the number is even where there is only one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BarGauge(Panel):
    """A bar for each series, against its highest possible value."""

    top: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSeries(Panel):
    """Lines over time; thresholds are dashed lines where there are steps."""

    stacked: bool = False
    top: float | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    """Colours by what a series is called, as a regular expression."""
    wide_legend: bool = True
    """Have a table of names with last and highest value at the side, not a line below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Panel):
    """States over time, a line for each series; `words` name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(Panel):
    """How many are in which bucket (`le`), over time; the unit is that of the buckets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: a label, or the value of a query by its letter (`A` is the first)."""

    name: str
    title: str
    unit: str = "string"
    width: int | None = None
    """In pixels; None takes what is left."""
    steps: tuple[Step, ...] = ()
    base: str = GREEN
    """The colour below all steps."""
    words: Words = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    decimals: int | None = None
    bar: bool = False
    """Draw the value as a bar."""
    top: float | None = None
    """The value of a full bar; None takes the highest of all columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """What is true now, a row for each set of labels.

    All queries have to give the same labels, by which their rows become one, and all rows, or
    cells stay empty: what gives less is completed by `or ... * 0`.
    """

    columns: tuple[Column, ...]
    order: str
    """The title of the column by which the rows are ordered, highest first."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading, from left to right; 24 columns are a line."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Moments that are marked in all graphs: each series that has a value."""

    name: str
    expr: str
    title: str
    text: str = ""
    colour: str
    shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A dashboard."""

    uid: Dashboard
    title: str
    answers: str
    """What somebody learns from it, as a sentence."""
    rows: tuple[Row, ...]
    annotations: tuple[Annotation, ...] = ()
    targets: str = "pgconn_up"
    """The metric whose targets can be chosen."""
    clients: bool = False
    """Let clients be chosen: `$client` selects wherever a metric has the label."""
    compare: bool = False
    """Let it be chosen how long ago to compare with: `offset $compare`."""
