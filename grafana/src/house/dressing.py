"""What all panels have, in Grafana's words: title, description, unit, colours, links."""

from collections.abc import Iterable
from typing import Final, Protocol, Self, TypeVar, cast

from grafana_foundation_sdk.builders import common, dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import dashboard as model

from grafana.src.house.links import Link
from grafana.src.house.model import GREEN, GREY, Panel, Stat, Step, Words

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


def dress(builder: Dressed, panel: Panel) -> Dressed:
    """Give a panel what all have."""
    builder.title(panel.title).description(describe(panel)).datasource(SOURCE)
    builder.unit(panel.unit).no_value(panel.empty)
    builder.thresholds(_colours(panel))
    if panel.words:
        builder.mappings([mapping(panel.words)])
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
        return thresholds((Step(GREEN, 0), *panel.steps), GREY)
    return thresholds(panel.steps, panel.base)


def thresholds(steps: Iterable[Step], base: str) -> dashboard.ThresholdsConfig:
    """Give colours from values on, and the one below them all."""
    first = model.Threshold(color=base)
    more = [model.Threshold(color=step.colour, value=_number(step.value)) for step in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([first, *more])


def _number(value: str | float) -> float:
    # The SDK wants a number; in a template, a threshold's name stands in its place.
    return cast("float", f"@{{{value}}}") if isinstance(value, str) else value


def mapping(said: Words) -> model.ValueMap:
    """Give the words that stand for values."""
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


def coloured(mode: model.FieldColorModeId) -> dashboard.FieldColor:
    """Colour values in a way that Grafana has."""
    return dashboard.FieldColor().mode(mode)


def option(name: str, value: object) -> model.DynamicConfigValue:
    """Give an option of those that only some fields have."""
    return model.DynamicConfigValue(id_val=name, value=value)


def fixed(colour: str) -> model.DynamicConfigValue:
    """Give a field one colour, whatever its value is."""
    return option("color", {"mode": "fixed", "fixedColor": colour})


def newest() -> common.ReduceDataOptions:
    """Take a series' last value."""
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def describe(panel: Panel) -> str:
    """Tell what a panel answers, and what to do."""
    return "\n\n".join(filter(None, (f"**{panel.question}**", panel.meaning, panel.then)))
